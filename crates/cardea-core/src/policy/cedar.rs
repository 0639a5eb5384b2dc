//! Compiles texts into a [`Snapshot`]: parses, reads annotations, validates against the vocabulary, sorts into
//! buckets.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    str::FromStr,
    sync::Arc,
};

use cedar_policy::{
    ActionConstraint, Authorizer, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationError,
    ValidationMode, ValidationWarning, Validator,
};
use miette::Diagnostic;
use serde_json::Value;

use super::{
    Compiled, Installation, Problem, Snapshot, Source, approval, listing, names, reads::Reads,
    ready::ReadyOnes, schema::Vocabulary, slice::Index,
};
use crate::{
    canonical::hex,
    form::{closest, position},
    tool::ToolSpec,
};

/// Annotations that a policy may have.
const ANNOTATIONS: [&str; 3] = ["id", "reason", "approval"];
/// Number of policies without any scope beyond which every decision becomes noticeably slower.
const EVERYWHERE: usize = 20;

/// A policy with its place in its file.
struct Placed<'s> {
    policy: Policy,
    source: &'s Source,
    offset: usize,
}

impl Placed<'_> {
    fn name(&self) -> &str {
        self.policy.annotation("id").unwrap_or_default()
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        problem(self.source, self.offset, message.into())
    }
}

fn problem(source: &Source, offset: usize, message: String) -> Problem {
    let place = position(&source.text, offset);
    Problem { file: source.file.clone(), line: place.line, column: place.column, message, help: None }
}

impl Snapshot {
    /// Compiles policies for a tool catalogue. An empty set is valid: it refuses everything.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub fn compile<'t>(
        sources: &[Source],
        tools: impl IntoIterator<Item = &'t ToolSpec>,
    ) -> Result<Self, Vec<Problem>> {
        Self::of(sources, tools, None)
    }

    /// Does the same for an installation whose names are known; unknown names are reported as warnings.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub fn compile_among<'t>(
        sources: &[Source],
        tools: impl IntoIterator<Item = &'t ToolSpec>,
        names: &Installation,
    ) -> Result<Self, Vec<Problem>> {
        Self::of(sources, tools, Some(names))
    }

    fn of<'t>(
        sources: &[Source],
        tools: impl IntoIterator<Item = &'t ToolSpec>,
        names: Option<&Installation>,
    ) -> Result<Self, Vec<Problem>> {
        let whole = |message: String| {
            vec![Problem { file: "(tools)".to_owned(), line: 1, column: 1, message, help: None }]
        };
        let vocabulary = Vocabulary::of(tools).map_err(whole)?;
        let mut schema = vocabulary.schema.clone();
        let mut problems = Vec::new();
        let mut placed = parse(sources, &mut problems);
        check_names(&placed, &mut problems);
        let (mut told, mut set_aside) = (Told::default(), Vec::new());
        placed.retain_mut(|one| {
            if !one.source.built_in {
                let slips = names::slips(&one.policy, &vocabulary, names);
                for slip in slips {
                    slip.action.as_deref().into_iter().for_each(|name| declare(&mut schema, name));
                    told.slip(one, slip);
                }
            }
            let kept = keep(one, &vocabulary, names, &mut told);
            if !kept {
                set_aside.push(Arc::from(one.name()));
            }
            kept
        });
        let Told { mut warnings, void } = told;
        let built_in = placed.iter().filter(|one| one.source.built_in).count();
        let schema = Schema::from_json_value(schema).map_err(|error| whole(error.to_string()))?;
        validate(&placed, schema, &mut problems, &mut warnings);
        let mut policies = Vec::with_capacity(placed.len());
        for one in &placed {
            match compiled(one) {
                Ok(policy) => policies.push(policy),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        warnings.extend(apart(&placed, &policies, &vocabulary));
        let (index, by_id) = sorted(&policies);
        warnings.extend(too_many_everywhere(sources, index.everywhere()));
        let version = version(sources, &vocabulary);
        let authorizer = Authorizer::new();
        let ready = ReadyOnes::default();
        let any = |asks: fn(&Reads) -> bool| policies.iter().any(|policy| asks(&policy.reads));
        let (tells_persons_apart, asks_for_proof) =
            (any(Reads::tells_persons_apart), any(Reads::asks_for_proof));
        Ok(Self {
            version,
            vocabulary,
            policies,
            by_id,
            index,
            authorizer,
            ready,
            built_in,
            tells_persons_apart,
            asks_for_proof,
            set_aside,
            warnings,
            void,
        })
    }
}

/// Returns whether a text is Cedar and contains a policy.
#[must_use]
pub fn holds_policies(text: &str) -> bool {
    PolicySet::from_str(text)
        .is_ok_and(|set| set.policies().next().is_some() || set.templates().next().is_some())
}

/// Parses all policies of all files and renames them by their `@id`.
fn parse<'s>(sources: &'s [Source], problems: &mut Vec<Problem>) -> Vec<Placed<'s>> {
    let mut placed = Vec::new();
    for source in sources {
        let set = match PolicySet::from_str(&source.text) {
            Ok(set) => set,
            Err(errors) => {
                problems.extend(errors.iter().map(|error| from_cedar(source, error)));
                continue;
            }
        };
        for template in set.templates() {
            let offset = find(source, &template.to_cedar());
            problems.push(problem(
                source,
                offset,
                "templates (`?principal`, `?resource`) are not used here".to_owned(),
            ));
        }
        let mut of_file: Vec<Placed<'s>> = set
            .policies()
            .map(|policy| {
                let offset = policy.to_cedar().map_or(0, |text| find(source, &text));
                let id = policy.annotation("id").unwrap_or_default();
                Placed { policy: policy.new_id(PolicyId::new(id)), source, offset }
            })
            .collect();
        of_file.sort_by_key(|one| one.offset);
        placed.extend(of_file);
    }
    placed
}

fn find(source: &Source, text: &str) -> usize {
    source.text.find(text.trim()).unwrap_or(0)
}

/// Converts a message of Cedar, with its place in the file.
fn from_cedar(source: &Source, error: &dyn Diagnostic) -> Problem {
    let offset = error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
    let mut problem = problem(source, offset, lower(&error.to_string()));
    problem.help = error.help().map(|help| help.to_string());
    problem
}

/// Shortens a message: Cedar begins with the name of the policy, which the place shows already.
fn lower(message: &str) -> String {
    let message = message
        .strip_prefix("for policy `")
        .and_then(|rest| rest.split_once("`, "))
        .map_or(message, |(_, m)| m);
    message.trim_end_matches('.').to_owned()
}

/// Checks that each policy has a name of its own and only known annotations.
fn check_names(placed: &[Placed<'_>], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, &Placed<'_>> = HashMap::new();
    for one in placed {
        let mut say = |message: String, help: &str| {
            let mut problem = one.problem(message);
            problem.help = Some(help.to_owned());
            problems.push(problem);
        };
        for (key, _) in one.policy.annotations().filter(|(key, _)| !ANNOTATIONS.contains(key)) {
            let help = closest(key, ANNOTATIONS).map(|name| format!("did you mean `@{name}`?"));
            say(
                format!("`@{key}` means nothing"),
                help.as_deref().unwrap_or("known are @id, @reason and @approval"),
            );
        }
        let id = one.name();
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if id.is_empty() {
            say(
                "this policy has no name".to_owned(),
                "write @id(\"a-name\") before it: decisions are logged by it",
            );
        } else if id.len() > 64 || !id.chars().all(good) {
            say(
                format!("`{id}` is no name for a policy"),
                "use at most 64 small letters, digits, `-`, `_`, `.`",
            );
        } else if let Some(other) = seen.insert(id, one) {
            let at = position(&other.source.text, other.offset);
            let help = format!("the other one is {}:{}; rename one of them", other.source.file, at.line);
            say(format!("there are two policies named `{id}`"), &help);
        }
    }
}

/// The warnings about a set.
#[derive(Default)]
struct Told {
    warnings: Vec<Problem>,
    /// Those that are certain: parts that depend on a name which cannot exist here, or on a time that never comes.
    void: Vec<Problem>,
}

impl Told {
    fn slip(&mut self, one: &Placed<'_>, slip: names::Slip) {
        let after = one.source.text.get(one.offset..).unwrap_or_default();
        let offset = one.offset + after.find(&slip.written).unwrap_or(0);
        let mut problem = problem(one.source, offset, format!("`{}`: {}", one.name(), slip.says));
        problem.help = Some(slip.help);
        self.void.extend(slip.void.then(|| problem.clone()));
        self.warnings.push(problem);
    }
}

/// Removes unknown tools from a policy's scope. Returns false if the policy can then never hold.
///
/// Setting a policy aside is sound, since a question about a tool outside the catalogue is refused before any policy.
fn keep(
    one: &mut Placed<'_>,
    vocabulary: &Vocabulary,
    names: Option<&Installation>,
    told: &mut Told,
) -> bool {
    let known = |uid: &EntityUid| {
        let Some(actions) = vocabulary.schema.pointer("//actions").and_then(Value::as_object) else {
            return false;
        };
        uid.type_name().to_string() == "Action" && actions.contains_key(uid.id().unescaped())
    };
    let named = match one.policy.action_constraint() {
        ActionConstraint::Any => return true,
        ActionConstraint::Eq(uid) => vec![uid],
        ActionConstraint::In(uids) => uids,
    };
    let (known, unknown): (Vec<_>, Vec<_>) = named.into_iter().partition(known);
    for uid in &unknown {
        told.slip(one, names::action(&one.policy, vocabulary, names, uid.id().unescaped()));
    }
    if unknown.is_empty() || known.is_empty() {
        return unknown.is_empty();
    }
    match narrowed(&one.policy, &known) {
        Some(policy) => one.policy = policy,
        None => return false,
    }
    true
}

/// Declares an action that applies to nothing, so that a condition may name a tool that is away. Sound for the same
/// reason as in [`keep`].
fn declare(schema: &mut Value, action: &str) {
    if let Some(actions) = schema.pointer_mut("//actions").and_then(Value::as_object_mut) {
        actions.insert(action.to_owned(), serde_json::json!({}));
    }
}

/// Returns the policy with only these actions in its scope.
fn narrowed(policy: &Policy, actions: &[EntityUid]) -> Option<Policy> {
    let mut json = policy.to_json().ok()?;
    let entities: Vec<Value> = actions
        .iter()
        .map(|uid| serde_json::json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() }))
        .collect();
    json.as_object_mut()?
        .insert("action".to_owned(), serde_json::json!({ "op": "in", "entities": entities }));
    Policy::from_json(Some(policy.id().clone()), json).ok()
}

fn validate(placed: &[Placed<'_>], schema: Schema, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let by_id: HashMap<&PolicyId, &Placed<'_>> = placed.iter().map(|one| (one.policy.id(), one)).collect();
    let mut set = PolicySet::new();
    for one in placed {
        // A second policy of the same name was reported already.
        drop(set.add(one.policy.clone()));
    }
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let mut seen = HashSet::new();
    for error in result.validation_errors() {
        // The same mistake is found once for each tool that the policy applies to.
        if let Some(one) =
            by_id.get(error.policy_id()).filter(|one| seen.insert((one.offset, error.to_string())))
        {
            problems.push(explained(one, error));
        }
    }
    for warning in result.validation_warnings() {
        // Without tools that send data outside, the built-in policy has nothing to apply to.
        if let Some(one) = by_id.get(warning.policy_id()).filter(|one| !one.source.built_in) {
            let fits_nothing = matches!(
                warning,
                ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_)
            );
            let mut problem = at_policy(one, from_cedar(one.source, warning));
            if fits_nothing {
                problem.message = "this policy can never apply".to_owned();
                problem.help = Some("nothing in the tool catalogue fits its scope and conditions".to_owned());
            }
            warnings.push(problem);
        }
    }
}

/// Returns Cedar's message, with advice where Cedar gives none.
fn explained(one: &Placed<'_>, error: &ValidationError) -> Problem {
    let mut problem = at_policy(one, from_cedar(one.source, error));
    let help = match error {
        ValidationError::UnsafeOptionalAttributeAccess(_) => {
            "ask first: `context.args has x && context.args.x == …`"
        }
        ValidationError::UnsafeAttributeAccess(_) => {
            "see docs/guide/policies.md for what there is; arguments belong to one tool: name it in the scope"
        }
        ValidationError::UnrecognizedActionId(_) => {
            "tools are named server__tool; docs/guide/policies.md names the groups"
        }
        ValidationError::UnrecognizedEntityType(_) => "known are User, Role, Tenant, Tool, Server and Model",
        ValidationError::EmptySetForbidden(_) => "write `context.taint.isEmpty()` to ask for an empty set",
        _ => return problem,
    };
    problem.help = Some(problem.help.map_or_else(|| help.to_owned(), |cedar| format!("{cedar}; {help}")));
    problem
}

/// Places a message without a place at the beginning of its policy.
fn at_policy(one: &Placed<'_>, problem: Problem) -> Problem {
    if (problem.line, problem.column) == (1, 1) {
        Problem { help: problem.help, ..one.problem(problem.message) }
    } else {
        problem
    }
}

fn compiled(one: &Placed<'_>) -> Result<Compiled, Problem> {
    let (policy, id) = (&one.policy, one.name());
    let reason =
        policy.annotation("reason").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let approvers = match policy.annotation("approval") {
        Some(text) => Some(approvers(one, text)?),
        None => None,
    };
    let looks_further = policy.to_cedar().is_none_or(|text| Reads::may_look_further(&text));
    let json = if looks_further { policy.to_json().ok() } else { None };
    let reads = match &json {
        Some(json) => Reads::of(json),
        None if looks_further => Reads::everything(),
        None => Reads::default(),
    };
    let opened = json.as_ref().and_then(listing::open);
    let list = match opened {
        Some(json) => Policy::from_json(Some(policy.id().clone()), json)
            .map_err(|error| one.problem(format!("cannot be asked without arguments: {error}")))?,
        None => policy.clone(),
    };
    Ok(Compiled { id: Arc::from(id), reason, approvers, reads, call: policy.clone(), list })
}

/// Returns the roles that may lift this `forbid`.
fn approvers(one: &Placed<'_>, text: &str) -> Result<BTreeSet<String>, Problem> {
    approval::approvers(&one.policy, text)
        .map_err(|(says, help)| Problem { help: Some(help), ..one.problem(says) })
}

/// Reports approval policies that no one can approve together.
fn apart(placed: &[Placed<'_>], policies: &[Compiled], vocabulary: &Vocabulary) -> Vec<Problem> {
    let asking =
        placed.iter().zip(policies).filter_map(|(one, policy)| Some((one, policy.approvers.as_ref()?)));
    let asking: Vec<_> = asking.collect();
    let pairs = approval::apart(asking.iter().map(|(one, roles)| (&one.policy, *roles)), vocabulary);
    let told = |(number, says): (usize, String)| {
        let help = Some("name a role in both, or keep their conditions apart".to_owned());
        Some(Problem { help, ..asking.get(number)?.0.problem(says) })
    };
    pairs.into_iter().filter_map(told).collect()
}

fn sorted(policies: &[Compiled]) -> (Index, HashMap<PolicyId, usize>) {
    let mut index = Index::default();
    let mut by_id = HashMap::new();
    for (number, policy) in policies.iter().enumerate() {
        index.insert(u32::try_from(number).unwrap_or(u32::MAX), &policy.call);
        by_id.insert(policy.call.id().clone(), number);
    }
    (index, by_id)
}

fn too_many_everywhere(sources: &[Source], count: usize) -> Option<Problem> {
    let source = sources.first().filter(|_| count > EVERYWHERE)?;
    let mut problem =
        problem(source, 0, format!("{count} policies name no principal, action or resource in their scope"));
    problem.help = Some(
        "each decision reads all of them; name a role, an action or a tool where one is meant".to_owned(),
    );
    Some(problem)
}

fn version(sources: &[Source], vocabulary: &Vocabulary) -> Arc<str> {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let schema = vocabulary.schema.to_string();
    let facts = vocabulary.facts();
    // WHY: not the names of files. Two nodes that keep the same set in different folders make the same decisions.
    let texts = sources.iter().map(|source| &source.text).chain([&schema, &facts]);
    for text in texts {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finish();
    Arc::from(hex(digest.as_ref().get(..8).unwrap_or_default()))
}
