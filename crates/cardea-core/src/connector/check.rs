//! Checks a parsed file and builds the connector, or returns everything that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Auth, Base, Body, Connector, Look, Method, Named, Operation, Per, Plan, SecretPlace, address,
    input::Input,
    manifest::{
        AuthSpec, By, CheckSpec, Head, IdempotencySpec, KeyForm, Manifest, OperationSpec, RequestSpec,
    },
};
use crate::{
    form::{Node, Place, Problem, closest},
    id::ToolName,
    journal::Repeatable,
    saga::Undo,
    template::{STEP, Template, Tree},
    time::Millis,
    tool::{CacheHint, Effect, Sharing, ToolSpec},
};

/// Limit of `limit.timeout`.
const LONGEST_CALL: Millis = Millis::from_secs(300);

/// Collects mistakes and finds the place of each key.
struct Found<'a> {
    root: &'a Node,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn say(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place(key);
        self.problems.push(Problem::new(key, message, place));
    }

    fn help(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = self.place(key);
        self.problems.push(Problem::new(key, message, place).help(help));
    }

    /// Returns the value, or reports its mistake.
    fn take<T>(&mut self, key: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|why| self.say(key, why)).ok()
    }

    /// Returns the place of the key, or of the nearest table above it.
    fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(node) = self.root.find(key).filter(|node| node.place != Place::Nowhere) {
                return node.place.clone();
            }
            match key.rfind(['.', '[']).and_then(|at| key.get(..at)) {
                Some(above) => key = above,
                None => return Place::Nowhere,
            }
        }
    }
}

/// What all operations of a file share.
struct Service {
    name: String,
    base: Option<Base>,
    hosts: Vec<String>,
    methods: Vec<Method>,
    headers: Vec<(String, Template)>,
    /// The header or parameter that is reserved for the secret.
    kept: Option<SecretPlace>,
}

pub(super) fn connector(root: &Node, manifest: Manifest) -> Result<Connector, Vec<Problem>> {
    let mut found = Found { root, problems: Vec::new() };
    let auth = auth(&manifest.connector, &mut found);
    let mut service = service(manifest.connector, &mut found);
    if let Auth::Secret { place, .. } = &auth {
        service.kept = Some(place.clone());
    }
    if manifest.operations.is_empty() {
        found.help("connector", "has no operation", "add [[operation]] with name, about and request");
    }
    let names: Vec<String> = manifest.operations.iter().map(|each| each.name.clone()).collect();
    let mut made = Vec::new();
    // What a user's own credential has fetched belongs to that user.
    let personal = matches!(auth, Auth::Caller { .. } | Auth::Secret { per: Per::User, .. });
    for (at, spec) in manifest.operations.into_iter().enumerate() {
        let path = format!("operation[{at}]");
        if personal && spec.cache.as_ref().is_some_and(|cache| cache.sharing == Sharing::Tenant) {
            let message = "would give one user what another user's credential has fetched";
            found.say(&format!("{path}.cache.sharing"), message);
        }
        if names.iter().take(at).any(|name| *name == spec.name) {
            found.say(&format!("{path}.name"), format!("there are two operations named `{}`", spec.name));
        }
        made.extend(operation(&service, spec, &path, &mut found).map(|made| (at, made)));
    }
    undos(&mut made, &service, &mut found);
    if !found.problems.is_empty() {
        return Err(found.problems);
    }
    let operations: Vec<Operation> = made.into_iter().map(|(_, (operation, ..))| operation).collect();
    let mut bases: Vec<Base> = operations.iter().map(|operation| operation.request.base.clone()).collect();
    bases.dedup();
    Ok(Connector { name: service.name, hosts: service.hosts, auth, bases, operations, digest: String::new() })
}

/// Returns whether the text can be the name of a connector or an operation; both become part of a tool's name.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    !name.is_empty() && name.len() <= 48 && name.chars().all(plain) && !name.contains("__")
}

fn service(head: Head, found: &mut Found<'_>) -> Service {
    let how = "small letters, digits, `-` and single `_`, at most 48: tools are called NAME__OPERATION";
    if !is_name(&head.name) {
        found.help("connector.name", format!("`{}` is no name for a connector", head.name), how);
    }
    let base = found.take("connector.base", Base::parse(&head.base));
    let mut hosts = Vec::new();
    for (i, host) in head.hosts.iter().enumerate() {
        hosts.extend(found.take(&format!("connector.hosts[{i}]"), address::host_entry(host)));
    }
    if let Some(base) = &base {
        if head.hosts.is_empty() {
            hosts.push(base.target());
        } else if !base.is_among(&hosts) {
            listed("connector.base", base, found);
        }
    }
    let mut headers = Vec::new();
    for (name, value) in &head.headers {
        let key = format!("connector.headers.{name}");
        let name = found.take(&key, address::header_name(name));
        let value = found.take(&key, address::header_value(value));
        let value = value.and_then(|value| found.take(&key, Template::parse(&value)));
        if value.as_ref().is_some_and(|value| value.slots().next().is_some()) {
            found.say(&key, "cannot have slots: only the headers of a request can");
        }
        headers.extend(name.zip(value));
    }
    Service { name: head.name, base, hosts, methods: head.methods, headers, kept: None }
}

fn listed(key: &str, base: &Base, found: &mut Found<'_>) {
    let help = format!("add \"{}\" to connector.hosts if it may be reached", base.host);
    found.help(key, format!("the host `{}` is not among `connector.hosts`", base.host), help);
}

fn auth(head: &Head, found: &mut Found<'_>) -> Auth {
    let key = "connector.auth";
    let (place, per) = match &head.auth {
        None => return Auth::None,
        Some(AuthSpec::Caller { audience }) => {
            if audience.is_empty() {
                found.say(key, "needs an audience that is not empty");
            }
            return Auth::Caller { audience: audience.clone() };
        }
        Some(AuthSpec::Bearer { per }) => (SecretPlace::Bearer, *per),
        Some(AuthSpec::Header { name, prefix, per }) => {
            // The place of the secret is the only place where `Authorization` may be named.
            let name = if name.eq_ignore_ascii_case("authorization") {
                "authorization".to_owned()
            } else {
                found.take(key, address::header_name(name)).unwrap_or_default()
            };
            let clean = prefix.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
            if !clean {
                found.say(key, "has a prefix that cannot stand in a header");
            }
            (SecretPlace::Header { name, prefix: prefix.clone() }, *per)
        }
        Some(AuthSpec::Query { name, per }) => {
            if name.is_empty() {
                found.say(key, "needs the name of the parameter");
            }
            (SecretPlace::Query { name: name.clone() }, *per)
        }
        Some(AuthSpec::Basic { user, per }) => {
            if user.contains(':') {
                found.say(key, "has a user name with a colon, which ends the name");
            }
            (SecretPlace::Basic { user: user.clone() }, *per)
        }
    };
    Auth::Secret { place, per }
}

/// An operation, with what the check of its undo needs.
type Made = (Operation, Input, Option<super::manifest::UndoSpec>);

fn operation(service: &Service, spec: OperationSpec, path: &str, found: &mut Found<'_>) -> Option<Made> {
    let key = |name: &str| format!("{path}.{name}");
    if !is_name(&spec.name) {
        found.say(&key("name"), format!("`{}` is no name for an operation", spec.name));
    }
    if spec.about.trim().is_empty() {
        found.say(&key("about"), "is empty: a model would not know what it is for");
    }
    let input = Input::parse(&spec.input).map_err(|wrong| {
        wrong.into_iter().for_each(|(name, why)| found.say(&format!("{path}.input.{name}"), why));
    });
    let input = input.ok()?;
    let request = plan(service, &spec.request, &key("request"), &input, found);
    let look = spec.check.as_ref().and_then(|check| look(service, check, &key("check"), &input, found));
    let (key_header, by) = idempotency(&spec, &key("idempotency"), found);
    repeats(&spec, path, found);
    tags(&spec, path, &input, found);
    pointers(&spec, path, found);
    let keyed = key_header.is_some() || by.is_some();
    let repeatable = match (keyed, &look) {
        (true, _) => Repeatable::ByKey,
        (false, Some(_)) => Repeatable::ByCheck,
        (false, None) => Repeatable::No,
    };
    let cache = spec.cache.as_ref().map(|cache| CacheHint {
        ttl: cache.ttl,
        tags: cache.tags.clone(),
        sharing: cache.sharing,
    });
    let operation = Operation {
        spec: ToolSpec {
            name: ToolName::from(format!("{}__{}", service.name, spec.name).as_str()),
            description: spec.about.trim().to_owned(),
            input_schema: input.schema.clone(),
            effect: spec.effect,
            idempotent: spec.effect == Effect::Read || keyed,
            sends_outside: spec.sends_outside.unwrap_or(spec.effect.changes_things()),
            examples: spec.utterances,
            cache,
            clears: spec.clears,
        },
        undo: None,
        repeatable,
        timeout: spec.limit.timeout,
        per_user: spec.limit.per_user,
        attempts: spec.retry.as_ref().map_or(usual(spec.effect, keyed), |retry| retry.attempts),
        service: service.name.clone(),
        retry_on: spec.retry.map(|retry| retry.on).unwrap_or_default(),
        request: request?,
        check: look,
        key_header,
        by,
        result: spec.result,
        examples: spec.examples,
    };
    Some((operation, input, spec.undo))
}

/// Returns the default number of tries for a request that gets no answer: two, if a repeat is harmless.
const fn usual(effect: Effect, keyed: bool) -> u32 {
    if keyed || !effect.changes_things() { 2 } else { 1 }
}

/// Builds the request. `at`: the key of the request, and the arguments that its slots may name.
fn plan(
    service: &Service,
    spec: &RequestSpec,
    path: &str,
    input: &Input,
    found: &mut Found<'_>,
) -> Option<Plan> {
    let key = |name: &str| format!("{path}.{name}");
    if !service.methods.is_empty() && !service.methods.contains(&spec.method) {
        let message = format!("{} is not among `connector.methods`", spec.method.name());
        found.say(&key("method"), message);
    }
    let base = match &spec.base {
        None => service.base.clone(),
        Some(text) => {
            let base = found.take(&key("base"), Base::parse(text));
            if let Some(base) = base.as_ref().filter(|base| !base.is_among(&service.hosts)) {
                listed(&key("base"), base, found);
            }
            base
        }
    };
    let segments = segments(&spec.path, &key("path"), input, found);
    let query = fields(&spec.query, &key("query"), input, found);
    let mut headers = service.headers.clone();
    for (name, value) in &spec.headers {
        let place = format!("{path}.headers.{name}");
        let name = found.take(&place, address::header_name(name));
        let value = found.take(&place, Template::parse(value));
        if let Some(value) = &value {
            let clean = value.fixed().all(|text| text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
            if !clean {
                found.say(&place, "has characters that cannot stand in a header");
            }
            slots(value, &place, input, Use::Plain, found);
        }
        headers.extend(name.zip(value));
    }
    let body = body(spec, path, input, found);
    let plan = Plan { method: spec.method, base: base?, path: segments?, query, headers, body };
    kept(service, &plan, path, found);
    Some(plan)
}

/// Refuses a parameter or header with the name of the secret's, since it would be a matter of chance which one counts.
fn kept(service: &Service, plan: &Plan, path: &str, found: &mut Found<'_>) {
    let (taken, key) = match &service.kept {
        Some(SecretPlace::Query { name }) => (plan.query.iter().any(|(one, _)| one == name), "query"),
        Some(SecretPlace::Header { name, .. }) => {
            (plan.headers.iter().any(|(one, _)| one == name), "headers")
        }
        _ => (false, ""),
    };
    if taken {
        found.say(&format!("{path}.{key}"), "has the name that `connector.auth` keeps for the secret");
    }
}

fn body(spec: &RequestSpec, path: &str, input: &Input, found: &mut Found<'_>) -> Option<Body> {
    let bodiless = matches!(spec.method, Method::Get | Method::Head);
    if bodiless && (spec.body.is_some() || !spec.form.is_empty()) {
        found.say(path, format!("{} has no body", spec.method.name()));
    }
    if spec.body.is_some() && !spec.form.is_empty() {
        found.say(&format!("{path}.form"), "cannot stand beside `body`: one request has one body");
    }
    if let Some(body) = &spec.body {
        let place = format!("{path}.body");
        let tree = found.take(&place, Tree::parse(body))?;
        tree.templates().into_iter().for_each(|text| slots(text, &place, input, Use::Any, found));
        return Some(Body::Json(tree));
    }
    (!spec.form.is_empty()).then(|| Body::Form(fields(&spec.form, &format!("{path}.form"), input, found)))
}

fn segments(path: &str, key: &str, input: &Input, found: &mut Found<'_>) -> Option<Vec<Template>> {
    let Some(rest) = path.strip_prefix('/') else {
        found.say(key, "must begin with `/`");
        return None;
    };
    if path.contains(['?', '#']) {
        found.help(
            key,
            "has a query or a fragment",
            "write parameters as request.query = { name = \"{value}\" }",
        );
        return None;
    }
    let mut all = Vec::new();
    for segment in rest.split('/') {
        let template = found.take(key, Template::parse(segment))?;
        if !template.fixed().all(address::literal_segment) || (segment.is_empty() && rest.contains('/')) {
            found.say(key, format!("has the segment `{segment}`, which no path should have"));
        }
        for slot in template.slots().filter(|slot| slot.name != STEP && input.has(&slot.name)) {
            if !input.needs(&slot.name) {
                found.say(
                    key,
                    format!("`{}` may be left out, and a path would then lead elsewhere", slot.name),
                );
            }
        }
        slots(&template, key, input, Use::Plain, found);
        if !segment.is_empty() {
            all.push(template);
        }
    }
    Some(all)
}

fn fields(
    written: &BTreeMap<String, Value>,
    key: &str,
    input: &Input,
    found: &mut Found<'_>,
) -> Vec<(String, Tree)> {
    let mut all = Vec::new();
    for (name, value) in written {
        let place = format!("{key}.{name}");
        let Some(tree) = found.take(&place, Tree::parse(value)) else { continue };
        match &tree {
            Tree::Text(template) => slots(template, &place, input, Use::List, found),
            Tree::Plain(Value::Number(_) | Value::Bool(_)) => {}
            _ => found.say(&place, "is neither a text nor a number"),
        }
        all.push((name.clone(), tree));
    }
    all
}

/// Which arguments may fill a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Texts, numbers and booleans.
    Plain,
    /// Lists of these as well.
    List,
    /// Any.
    Any,
}

/// Checks that each slot names an argument that can fill it.
fn slots(template: &Template, key: &str, input: &Input, purpose: Use, found: &mut Found<'_>) {
    for slot in template.slots() {
        let name = slot.name.as_str();
        if name == STEP {
            continue;
        }
        if !input.has(name) {
            let message = format!("has the slot `{{{name}}}`, and `input` has no such argument");
            match closest(name, input.names()) {
                Some(near) => found.help(key, message, format!("did you mean `{{{near}}}`?")),
                None => found.say(key, message),
            }
        } else if purpose == Use::Plain && !input.is_plain(name)
            || purpose == Use::List && !input.is_plain(name) && !input.is_list(name)
        {
            found.say(key, format!("`{name}` is a table or a list and cannot stand here"));
        }
    }
}

fn look(
    service: &Service,
    spec: &CheckSpec,
    path: &str,
    input: &Input,
    found: &mut Found<'_>,
) -> Option<Look> {
    let request = RequestSpec {
        method: Method::Get,
        base: None,
        path: spec.path.clone(),
        query: spec.query.clone(),
        headers: Named::new(),
        body: None,
        form: Named::new(),
    };
    let plan = plan(service, &request, path, input, found)?;
    for (name, pointer) in [("found", &spec.found), ("take", &spec.take)] {
        is_pointer(pointer.as_deref(), &format!("{path}.{name}"), found);
    }
    Some(Look { plan, found: spec.found.clone(), take: spec.take.clone() })
}

fn idempotency(
    spec: &OperationSpec,
    key: &str,
    found: &mut Found<'_>,
) -> (Option<(String, KeyForm)>, Option<By>) {
    let Some(IdempotencySpec { header, form, by }) = &spec.idempotency else { return (None, None) };
    match (header, by) {
        (Some(header), None) => {
            (found.take(key, address::header_name(header)).map(|name| (name, *form)), None)
        }
        (None, _) if *form != KeyForm::Step => {
            found.say(key, "has a `form`, which is for the key in a header");
            (None, None)
        }
        (None, Some(By::Request)) => {
            if !mentions_step(&spec.request) {
                found.say(key, "says that the request carries the key, and `{step}` stands nowhere in it");
            }
            (None, Some(By::Request))
        }
        (None, Some(By::Method)) => {
            if !matches!(spec.request.method, Method::Put | Method::Delete) {
                let message = format!("{} twice is not as good as once", spec.request.method.name());
                found.say(key, message);
            }
            (None, Some(By::Method))
        }
        _ => {
            let help = "{ header = \"Idempotency-Key\" }, { by = \"request\" } or { by = \"method\" }";
            found.help(key, "says in no way, or in two, what makes a repeat harmless", help);
            (None, None)
        }
    }
}

fn mentions_step(request: &RequestSpec) -> bool {
    let marked = format!("{{{STEP}}}");
    let values = request.query.values().chain(request.form.values()).chain(&request.body);
    request.path.contains(&marked)
        || request.headers.values().any(|value| value.contains(&marked))
        || values.into_iter().any(|value| value.to_string().contains(&marked))
}

/// Finds effects, methods and repeats that contradict each other.
fn repeats(spec: &OperationSpec, path: &str, found: &mut Found<'_>) {
    let (changes, method) = (spec.effect.changes_things(), spec.request.method);
    let place = format!("{path}.effect");
    match method {
        Method::Put | Method::Patch | Method::Delete if !changes => {
            found.say(&place, format!("is `read`, and {} changes things", method.name()));
        }
        Method::Get | Method::Head if changes => {
            let help = "effect = \"read\", or another method";
            found.help(&place, format!("changes things, and {} only looks", method.name()), help);
        }
        _ => {}
    }
    let settled = spec.idempotency.is_some() || spec.check.is_some() || spec.accept_unknown;
    if changes && !settled {
        let help = "add `idempotency`, a `check`, or accept_unknown = true if a person shall look then";
        found.help(path, format!("nobody says what a repeated `{}` would do", spec.name), help);
    }
    if let Some(retry) = &spec.retry {
        let key = format!("{path}.retry");
        if changes && spec.idempotency.is_none() {
            found.say(&key, "would do a write twice: it has no `idempotency`");
        }
        if let Some(odd) = retry.on.iter().find(|status| !matches!(status, 408 | 425 | 429 | 500..=599)) {
            found.say(&key, format!("cannot hope for another answer after {odd}"));
        }
    }
    if !changes && spec.check.is_some() {
        found.say(&format!("{path}.check"), "is for writes: a read can simply be made again");
    }
    if spec.limit.timeout == Millis(0) || spec.limit.timeout > LONGEST_CALL {
        found.say(
            &format!("{path}.limit.timeout"),
            format!("must be more than nothing and at most {LONGEST_CALL}"),
        );
    }
    if spec.limit.per_user.is_some_and(|rate| rate.count == 0) {
        found.say(&format!("{path}.limit.per_user"), "would refuse everybody");
    }
}

fn tags(spec: &OperationSpec, path: &str, input: &Input, found: &mut Found<'_>) {
    let changes = spec.effect.changes_things();
    if changes && spec.cache.is_some() {
        found.say(&format!("{path}.cache"), "is for reads: what a write returned is given to nobody again");
    }
    if !changes && !spec.clears.is_empty() {
        found.say(&format!("{path}.clears"), "is for writes: a read makes nothing old");
    }
    let cached = spec.cache.iter().flat_map(|cache| &cache.tags).map(|tag| ("cache", tag));
    for (key, tag) in cached.chain(spec.clears.iter().map(|tag| ("clears", tag))) {
        let key = format!("{path}.{key}");
        if let Some(template) = found.take(&key, Template::parse(tag)) {
            slots(&template, &key, input, Use::Plain, found);
        }
    }
}

fn pointers(spec: &OperationSpec, path: &str, found: &mut Found<'_>) {
    let all = [("take", &spec.result.take), ("ok", &spec.result.ok), ("error", &spec.result.error)];
    for (name, pointer) in all {
        is_pointer(pointer.as_deref(), &format!("{path}.result.{name}"), found);
    }
    if spec.result.max.is_empty() {
        found.say(&format!("{path}.result.max"), "must be more than nothing");
    }
}

fn is_pointer(pointer: Option<&str>, key: &str, found: &mut Found<'_>) {
    if let Some(pointer) = pointer.filter(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
        found.help(key, format!("`{pointer}` is no JSON pointer"), format!("did you mean \"/{pointer}\"?"));
    }
}

/// Links each undo to its operation, which must exist, change something, be repeatable, and get all of its arguments.
fn undos(made: &mut [(usize, Made)], service: &Service, found: &mut Found<'_>) {
    let known: BTreeMap<String, (bool, Repeatable, Input)> = made
        .iter()
        .map(|(_, (operation, input, _))| {
            let name = operation.spec.name.as_str().split_once("__").map_or("", |(_, name)| name);
            let changes = operation.spec.effect.changes_things();
            (name.to_owned(), (changes, operation.repeatable, input.clone()))
        })
        .collect();
    for (at, (operation, input, undo)) in made {
        let Some(undo) = undo else { continue };
        let key = format!("operation[{at}].undo");
        if !operation.spec.effect.changes_things() {
            found.say(&key, "is for writes: a read leaves nothing to take back");
        }
        let Some((changes, repeatable, target)) = known.get(&undo.operation) else {
            let message = format!("there is no operation `{}`", undo.operation);
            match closest(&undo.operation, known.keys().map(String::as_str)) {
                Some(near) => {
                    found.help(&format!("{key}.operation"), message, format!("did you mean `{near}`?"))
                }
                None => found.say(&format!("{key}.operation"), message),
            }
            continue;
        };
        if !changes {
            found.say(&format!("{key}.operation"), format!("`{}` only reads", undo.operation));
        }
        if *repeatable == Repeatable::No {
            let help = "give it `idempotency` or a `check`: after a crash it is called again";
            found.help(&format!("{key}.operation"), format!("`{}` cannot be repeated", undo.operation), help);
        }
        let given: BTreeSet<&str> = undo.with.keys().map(String::as_str).collect();
        for name in target.needed().filter(|name| !given.contains(name)) {
            found.say(
                &format!("{key}.with"),
                format!("does not give `{name}`, which `{}` needs", undo.operation),
            );
        }
        for name in given.iter().filter(|name| !target.has(name)) {
            found.say(
                &format!("{key}.with"),
                format!("gives `{name}`, which `{}` does not take", undo.operation),
            );
        }
        let tool = ToolName::from(format!("{}__{}", service.name, undo.operation).as_str());
        let Some(made) = found.take(&format!("{key}.with"), Undo::new(tool, &undo.with)) else { continue };
        for slot in made.slots().iter().filter(|slot| !Undo::is_result(slot) && !input.has(slot)) {
            found.say(
                &format!("{key}.with"),
                format!("has the slot `{{{slot}}}`, and `input` has no such argument"),
            );
        }
        operation.undo = Some(made);
    }
}
