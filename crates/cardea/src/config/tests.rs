use std::{fs, path::Path};

use cardea_core::secret::ExposeSecret as _;
use cardea_testkit::reviewed;

use super::*;

fn nothing_set() -> Environment {
    Environment::default()
}

fn load_in(folder: &Path, text: &str, environment: &Environment) -> Result<Loaded, ConfigError> {
    Config::from_text("cardea.toml", text, folder, environment)
}

fn load(text: &str, environment: &Environment) -> Result<Loaded, ConfigError> {
    load_in(tempfile::tempdir().unwrap().path(), text, environment)
}

fn lines(text: &str, environment: &Environment) -> Vec<Line> {
    load(text, environment).err().map(|error| error.lines()).unwrap_or_default()
}

/// A broken file, and what must be said about it: line, key, and a piece of message or help.
const BROKEN: &[(&str, usize, &str, &str)] = &[
    // not TOML
    ("[server", 1, "", "not TOML"),
    ("[server]\nbind =", 2, "", "not TOML"),
    ("[server]\nbind = 127.0.0.1:80", 2, "", "not TOML"),
    ("[server]\ndrain = \"1s\"\ndrain = \"2s\"", 3, "", "not TOML"),
    ("[server]\n[server]", 2, "", "not TOML"),
    // unknown keys, at every level
    ("[sever]\nbind = \"127.0.0.1:80\"", 1, "sever", "did you mean `server`?"),
    ("sever = 1", 1, "sever", "did you mean `server`?"),
    ("[telemetry]\non = true", 1, "telemetry", "known here: `server`"),
    ("[server]\nbnid = \"127.0.0.1:80\"", 2, "server.bnid", "did you mean `bind`?"),
    ("[server]\nmax-body = \"1MiB\"", 2, "server.max-body", "did you mean `max_body`?"),
    ("[server]\nmax_body_size = \"1MiB\"", 2, "server.max_body_size", "did you mean `max_body`?"),
    ("[data]\npath = \"x\"", 2, "data.path", "known here: `dir`"),
    ("[vault]\nrootkey = \"x\"", 2, "vault.rootkey", "did you mean `root_key`?"),
    ("[auth]\nissuer = 1", 2, "auth.issuer", "did you mean `issuers`?"),
    ("[local_issuer]\nenable = true", 2, "local_issuer.enable", "did you mean `enabled`?"),
    ("[auth]\nleeway = \"5min\"", 2, "auth.leeway", "at most one minute"),
    (
        "[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\njwks_url = \"https://i/k\"\nalgorithms = [\"none\"]",
        5,
        "auth.issuers.c.algorithms[0]",
        "unknown variant `none`",
    ),
    (
        "[auth.issuers.corp]\nissuer = \"i\"\naudience = [\"a\"]\nsecert = \"x\"",
        4,
        "auth.issuers.corp.secert",
        "did you mean `secret`?",
    ),
    (
        "[models.providers.a]\nkind = \"openai\"\napikey = \"x\"",
        3,
        "models.providers.a.apikey",
        "did you mean `api_key`?",
    ),
    (
        "[models.aliases.a]\nprovider = \"rehearsal\"\nmodell = \"m\"",
        3,
        "models.aliases.a.modell",
        "did you mean `model`?",
    ),
    (
        "[upstreams.ops]\nurl = \"https://h/mcp\"\ntimeuot = \"3s\"",
        3,
        "upstreams.ops.timeuot",
        "did you mean `timeout`?",
    ),
    ("[limits]\nper_usr = \"3/s\"", 2, "limits.per_usr", "did you mean `per_user`?"),
    ("[limits.user_budget]\ntoken = 3", 2, "limits.user_budget.token", "did you mean `tokens`?"),
    ("[cache]\nTTL = \"3s\"", 2, "cache.TTL", "did you mean `ttl`?"),
    ("[cache]\nbackend = \"rediss\"", 2, "cache.backend", "redis"),
    ("[cache]\nbackend = \"redis\"", 2, "cache.backend", "needs `cache.url`"),
    ("[cache]\nbackend = \"redis\"\nurl = \"http://h\"", 3, "cache.url", ""),
    ("[cache]\nbackend = \"redis\"\nurl = \"redis://u:p@h\"", 3, "cache.url", "contains a password"),
    ("[cache]\nbackend = \"postgres\"", 2, "cache.backend", "`db.url` is no PostgreSQL"),
    ("[cache]\nbackend = \"postgres\"\nurl = \"postgres://u:p@h/d\"", 3, "cache.url", "contains a password"),
    ("[cache]\nurl = \"redis://h\"", 2, "cache.url", "not used by the backend `memory`"),
    (
        "[cache]\nbackend = \"redis\"\nurl = \"redis://h\"\npersist = true",
        4,
        "cache.persist",
        "for the backend `memory`",
    ),
    ("[cache]\ntimeout = \"0s\"", 2, "cache.timeout", "more than nothing"),
    ("[cache]\nname = \"a b\"", 2, "cache.name", "letters, digits"),
    ("[cache]\nwarm = \"no-such.jsonl\"", 2, "cache.warm", "cannot be read"),
    ("[cache.check]\nshare = 2", 2, "cache.check.share", ""),
    ("[cache.check]\nshares = 0.1", 2, "cache.check.shares", "did you mean `share`?"),
    ("[guard]\nprofiles = \"x\"", 2, "guard.profiles", "did you mean `profile`?"),
    ("[cache]\nenable = true", 2, "cache.enable", "did you mean `enabled`?"),
    ("[log]\nlevle = \"info\"", 2, "log.levle", "did you mean `level`?"),
    ("[net]\nalow = []", 2, "net.alow", "did you mean `allow`?"),
    ("[policies]\nfolder = \"x\"", 2, "policies.folder", "known here: `dir`"),
    ("[cost]\nprice = \"x\"", 2, "cost.price", "did you mean `prices`?"),
    // missing keys
    ("[auth.issuers.corp]\naudience = [\"a\"]", 1, "auth.issuers.corp.issuer", "is missing"),
    ("[auth.issuers.corp]\nissuer = \"i\"", 1, "auth.issuers.corp.audience", "is missing"),
    ("[upstreams.ops]\ntimeout = \"3s\"", 1, "upstreams.ops.url", "is missing"),
    ("[models.providers.a]\nbase_url = \"http://h\"", 1, "models.providers.a.kind", "is missing"),
    // kinds
    ("server = 3", 1, "server", "expects a table, found a whole number"),
    ("upstreams = [1]", 1, "upstreams", "expects a table of names, found a list"),
    ("[server]\nmax_body = 65536", 2, "server.max_body", "with its unit: \"65536B\""),
    ("[server]\ndrain = 20", 2, "server.drain", "with its unit: \"20s\""),
    (
        "[server]\ndrain = true",
        2,
        "server.drain",
        "expects a length of time such as \"30s\", found true or false",
    ),
    ("[server]\nmax_connections = \"9\"", 2, "server.max_connections", "take the quotes away"),
    ("[server]\nmax_connections = 9.5", 2, "server.max_connections", "expects a whole number"),
    ("[server]\nallowed_hosts = \"h\"", 2, "server.allowed_hosts", "put it in brackets"),
    ("[server]\nallowed_hosts = [\"h\", 3]", 2, "server.allowed_hosts[1]", "put it in quotes"),
    ("[auth]\napi_keys = \"true\"", 2, "auth.api_keys", "take the quotes away"),
    ("[auth]\napi_keys = 1", 2, "auth.api_keys", "expects true or false"),
    ("[limits]\nper_user = 60", 2, "limits.per_user", "with its unit: \"60/min\""),
    ("[log]\nlevel = 2026-01-01", 2, "log.level", "expects a text, found a date"),
    ("[vault]\nroot_key = { path = \"x\" }", 2, "vault.root_key", "{ file = \"path\" }"),
    ("[vault]\nroot_key = { file = \"x\", env = \"Y\" }", 2, "vault.root_key", "is not a secret"),
    // values
    ("[server]\nbind = \"localhost\"", 2, "server.bind", "not an address and a port"),
    ("[server]\ndrain = \"20 seconds\"", 2, "server.drain", "is not a length of time"),
    ("[server]\nmax_body = \"1MB\"", 2, "server.max_body", "is not a size"),
    ("[server]\nmax_body = \"0B\"", 2, "server.max_body", "more than nothing"),
    ("[server]\nsend_timeout = \"0s\"", 2, "server.send_timeout", "more than nothing"),
    ("[server]\nmax_depth = 1000", 2, "server.max_depth", "between 8 and 128"),
    ("[server]\nmax_connections = 0", 2, "server.max_connections", "between 1 and 65536"),
    ("[server]\nmax_connections = -1", 2, "server.max_connections", "between 1 and 65536"),
    ("[server]\nmax_connections = 99999999999999999999", 2, "server.max_connections", "out of all bounds"),
    ("[server]\npublic_url = \"agents.example\"", 2, "server.public_url", "is no web address"),
    ("[server]\nallowed_origins = [\"https://a.example/\"]", 2, "server.allowed_origins[0]", "is no origin"),
    ("[limits]\nper_user = \"60/week\"", 2, "limits.per_user", "is not a rate"),
    ("[limits]\nper_user = \"0/s\"", 2, "limits.per_user", "would refuse everybody"),
    ("[limits]\nin_flight = 4", 1, "limits.in_flight_per_tenant", "is more than `limits.in_flight`"),
    ("[limits.user_budget]\nmoney = -1.0", 2, "limits.user_budget.money", "must be at least 0.01"),
    ("[limits.user_budget]\nmoney = nan", 2, "limits.user_budget.money", "must be at least 0.01"),
    ("[log]\nformat = \"jsno\"", 2, "log.format", "did you mean \"json\"?"),
    ("[log]\nlevel = \"cardea=verbose\"", 2, "log.level", "one of: off, error"),
    ("[log]\nlevel = \"inof\"", 2, "log.level", "did you mean \"info\"?"),
    ("[models.providers.a]\nkind = \"opnai\"", 2, "models.providers.a.kind", "did you mean \"openai\"?"),
    (
        "[upstreams.ops]\nurl = \"https://h/mcp\"\neffects = { get = \"reed\" }",
        3,
        "upstreams.ops.effects.get",
        "did you mean \"read\"?",
    ),
    ("[db]\nurl = \"mysql://root:hunter2@h/d\"", 2, "db.url", "must start with `sqlite:` or `postgres://`"),
    ("[db]\nurl = \"postgres://me:hunter2@h/d\"", 2, "db.url", "contains a password"),
    ("[guard]\nprofile = \"standart\"", 2, "guard.profile", "did you mean \"standard\"?"),
    ("[db]\nreaders = 0", 2, "db.readers", "use 1 to 64"),
    ("[db]\nnode = \"a b\"", 2, "db.node", "letters, digits"),
    ("[vault]\nroot_key = \"c2hvcnQ=\"", 2, "vault.root_key", "is not 32 bytes"),
    ("[vault]\nroot_key = \"\"", 2, "vault.root_key", "is empty"),
    ("[cost]\nprices = \"nowhere.toml\"", 2, "cost.prices", "no such file"),
    ("[cost]\nprices = \"nowhere.toml\"", 2, "cost.prices", "there is no such file"),
    ("[vault]\nold_root_keys = [\"notakey\"]", 2, "vault.old_root_keys", "not `vault.root_key`"),
    ("[db]\nurl = \"sqlite:nowhere/sub/x.db\"", 2, "db.url", "there is no folder"),
    ("[db]\nurl = \"postgres://h/d?password=hunter2\"", 2, "db.url", "contains a password"),
    ("[net]\nextra_roots = [\"nope.pem\"]", 2, "net.extra_roots", "nope.pem"),
    (
        "[auth.issuers.corp]\nissuer = \"https://i\"\naudience = [\"a\"]\njwks = \"{}\"",
        4,
        "auth.issuers.corp.jwks",
        "no key set",
    ),
    (
        "[auth.issuers.corp]\nissuer = \"https://i\"\naudience = [\"a\"]\npem = \"abc\"\nalgorithms = [\"HS256\"]",
        5,
        "auth.issuers.corp.algorithms",
        "mixes",
    ),
    (
        "[models.providers.p]\nkind = \"openai\"\nbase_url = \"https://me:hunter2@h/v1\"",
        3,
        "models.providers.p.base_url",
        "must not carry a password",
    ),
    ("[net]\nallow = [\"127.0.0.1\"]", 2, "net.allow", "is not a target"),
    // secrets
    ("[vault]\nroot_key = \"${ROOT_KEY}\"", 2, "vault.root_key", "set CARDEA_VAULT__ROOT_KEY"),
    ("[server]\npublic_url = \"https://${HOST}\"", 2, "server.public_url", "still contains `${…}`"),
    ("[vault]\nroot_key = { env = \"NOBODY_SET_THIS\" }", 2, "vault.root_key", "NOBODY_SET_THIS is not set"),
    ("[vault]\nroot_key = { file = \"nowhere.key\" }", 2, "vault.root_key", "cannot be read"),
    (
        "[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"too short\"",
        4,
        "auth.issuers.c.secret",
        "needs at least 32",
    ),
    (
        "[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"${JWT}\"",
        4,
        "auth.issuers.c.secret",
        "still contains",
    ),
    // what does not go together
    ("[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]", 1, "auth.issuers.c", "in exactly one way"),
    (
        "[auth.issuers.c]\nissuer = \"i\"\naudience = []\njwks_url = \"https://i/k\"",
        3,
        "auth.issuers.c.audience",
        "at least one audience",
    ),
    (
        "[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\njwks_url = \"http://i.example/k\"",
        4,
        "auth.issuers.c.jwks_url",
        "use https://",
    ),
    (
        "[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\njwks_url = \"https://me:pw@i/k\"",
        4,
        "auth.issuers.c.jwks_url",
        "is no web address",
    ),
    (
        "[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\npem_file = \"no.pem\"",
        4,
        "auth.issuers.c.pem_file",
        "no such file",
    ),
    ("[auth]\napi_keys = false", 1, "auth", "nobody could sign in"),
    (
        "[server]\nbind = \"0.0.0.0:80\"\n[local_issuer]\nenabled = true",
        4,
        "local_issuer.enabled",
        "for trying out",
    ),
    (
        "[server]\npublic_url = \"https://cardea.example\"\n[local_issuer]\nenabled = true",
        4,
        "local_issuer.enabled",
        "reach this machine as `cardea.example`",
    ),
    ("[upstreams.ops]\nurl = \"http://h/mcp\"", 2, "upstreams.ops.url", "add \"h:80\" to net.allow"),
    ("[policies]\ndir = \"polices\"", 2, "policies.dir", "there is no folder"),
    ("[upstreams.Ops]\nurl = \"https://h/mcp\"", 1, "upstreams.Ops", "no name for an upstream"),
    ("[upstreams.a__b]\nurl = \"https://h/mcp\"", 1, "upstreams.a__b", "no name for an upstream"),
    ("[upstreams.ops]\nurl = \"ftp://h/mcp\"", 2, "upstreams.ops.url", "is no web address"),
    (
        "[upstreams.ops]\nurl = \"https://h\"\naudience = \"a\"\ncredential = \"c\"",
        1,
        "upstreams.ops",
        "not have both",
    ),
    (
        "[models.aliases.a]\nprovider = \"nobody\"\nmodel = \"m\"",
        2,
        "models.aliases.a.provider",
        "models.providers.nobody",
    ),
];

#[test]
fn every_slip_is_told_with_its_line_its_key_and_what_to_do() {
    assert!(BROKEN.len() >= 60);
    let mut missed = String::new();
    for (text, line, key, words) in BROKEN {
        let told = lines(text, &nothing_set());
        let hit = told.iter().any(|told| {
            told.line == *line
                && told.key == *key
                && told.to_string().contains(words)
                && told.file == "cardea.toml"
        });
        if !hit {
            missed.push_str(&format!("{text}\nwanted {line} `{key}` with: {words}\ntold: {told:#?}\n\n"));
        }
    }
    assert!(missed.is_empty(), "{missed}");
}

#[test]
fn all_problems_are_told_at_once() {
    let text = "sever = 1\n[log]\nformat = \"jsno\"\nlevel = 3\n[limits]\nper_user = 5\n[upstreams.ops]\n";
    let told = lines(text, &nothing_set());
    let keys: Vec<&str> = told.iter().map(|line| line.key.as_str()).collect();
    assert_eq!(keys, ["sever", "log.format", "log.level", "limits.per_user", "upstreams.ops.url"]);
}

#[test]
fn no_message_shows_a_secret_even_under_a_misspelt_name_or_in_a_broken_file() {
    let secret = "hunter2-hunter2-hunter2";
    let texts = [
        format!("[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"{secret}\""),
        format!("[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\nsecert = \"{secret}\""),
        format!("[db]\nurl = \"mysql://root:{secret}@h/d\""),
        format!("[db]\nurl = \"{secret}"),
        format!("[vault]\nroot_key = '''\n{secret}\n"),
        format!("[vault]\nroot_key = [\"{secret}\"]"),
        format!("[vault]\nkeys = {{ root = [\"{secret}\"] }}"),
        format!("[models.providers.a]\nkind = \"openai\"\nbase_url = \"ftp://h\"\napi_key = \"{secret}\""),
        format!(
            "[auth.issuers.c]\nissuer = \"i\"\naudience = [\"a\"]\njwks_url = \"https://me:{secret}@i/k\""
        ),
    ];
    for text in texts {
        let error = load(&text, &nothing_set()).unwrap_err();
        for shown in
            [error.to_string(), error.pretty(false), error.pretty(true), format!("{:?}", error.lines())]
        {
            assert!(!shown.contains("hunter2"), "{text}\nshows it:\n{shown}");
        }
    }
}

#[test]
fn the_line_of_the_file_stands_below_the_message() {
    let error = load("[server]\nbind = \"127.0.0.1:80\"\ndrian = \"5s\"\n", &nothing_set()).unwrap_err();
    let shown = error.pretty(false);
    for piece in ["unknown key `drian`", "cardea.toml:3:1", "drian = ", "help: did you mean `drain`?"] {
        assert!(shown.contains(piece), "no `{piece}` in:\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "colours where none were asked for");
    assert!(error.pretty(true).contains('\u{1b}'));
}

#[test]
fn an_empty_file_is_a_whole_configuration_for_this_machine_only() {
    let config = load("", &nothing_set()).unwrap().config;
    assert!(config.server.bind.ip().is_loopback());
    assert!(config.auth.api_keys && !config.local_issuer.enabled);
    assert_eq!(config.models.chain("rehearsal"), ["rehearsal"]);
}

#[test]
fn a_variable_sets_the_key_it_names_in_the_kind_of_that_key() {
    let file = "[upstreams.my-ops]\nurl = \"https://h/mcp\"\n[auth.issuers.corp]\nissuer = \"i\"\naudience = [\"a\"]\n";
    let secret = "0123456789abcdef0123456789abcdef";
    let environment = Environment::from_iter([
        ("CARDEA_SERVER__BIND", "127.0.0.1:9"),
        ("CARDEA_SERVER__MAX_CONNECTIONS", "7"),
        ("CARDEA_SERVER__ALLOWED_HOSTS", "a.example, b.example"),
        ("CARDEA_NET__ALLOW", "[\"127.0.0.1:1\"]"),
        ("CARDEA_LIMITS__USER_BUDGET__MONEY", "2.5"),
        ("CARDEA_CACHE__ENABLED", "false"),
        ("CARDEA_UPSTREAMS__MY_OPS__TIMEOUT", "9s"),
        ("CARDEA_AUTH__ISSUERS__CORP__SECRET", secret),
        ("CARDEA_CONFIG", "elsewhere.toml"),
        ("CARDEA_TEST_POSTGRES", "not ours"),
        ("HOME", "/"),
    ]);
    let loaded = load(file, &environment).unwrap();
    let config = &loaded.config;
    assert_eq!(config.server.bind.port(), 9);
    assert_eq!(config.server.max_connections, 7);
    assert_eq!(config.server.allowed_hosts, ["a.example", "b.example"]);
    assert!(config.net.allow.names("127.0.0.1", 1));
    assert_eq!(config.limits.user_budget.money, Some(2.5));
    assert!(!config.cache.enabled);
    assert_eq!(config.upstreams["my-ops"].timeout.0, 9_000);
    assert_eq!(config.auth.issuers["corp"].secret.as_ref().unwrap().expose_secret(), secret);
    assert!(loaded.effective.toml().contains("environment CARDEA_SERVER__BIND"));
}

#[test]
fn a_variable_that_names_no_key_or_holds_no_value_of_its_kind_is_refused() {
    let file = "[upstreams.ops]\nurl = \"https://h/mcp\"\n";
    let cases = [
        ("CARDEA_SERVER__BNID", "x", "did you mean CARDEA_SERVER__BIND?"),
        ("CARDEA_SERVR__BIND", "x", "did you mean CARDEA_SERVER__BIND?"),
        ("CARDEA_SERVER_BIND", "x", "did you mean CARDEA_SERVER__BIND?"),
        ("CARDEA_UPSTREAMS__OP__URL", "x", "did you mean CARDEA_UPSTREAMS__OPS__URL?"),
        ("CARDEA_NOTHING__LIKE__IT", "x", "names no key"),
        (
            "CARDEA_MODELS__PROVIDERS__OPENAI__API_KEY",
            "x",
            "`[models.providers.openai]` must stand in the file first",
        ),
        ("CARDEA_DATA__DIR", "", "is empty"),
        ("CARDEA_LOG__LEVEL", "info,cardea[x=debug", "cannot be read"),
        ("CARDEA_SERVER", "x", "is a table"),
        ("CARDEA_SERVER__MAX_CONNECTIONS", "many", "expects a whole number, found a text"),
        ("CARDEA_SERVER__DRAIN", "20", "is not a length of time"),
        ("CARDEA_AUTH__API_KEYS", "yes", "expects true or false"),
        ("CARDEA_LOG__FORMAT", "jsno", "did you mean \"json\"?"),
        ("CARDEA_VAULT__ROOT_KEY", "${KEY}", "still contains"),
    ];
    for (name, value, words) in cases {
        let told = lines(file, &Environment::from_iter([(name, value)]));
        assert!(
            told.iter().any(|line| line.file == name && line.to_string().contains(words)),
            "{name}={value}: {told:?}"
        );
    }
}

#[test]
fn a_secret_may_stand_in_a_file_or_in_a_variable_and_is_starred_wherever_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pg"), "hunter2\n").unwrap();
    let text = "[db]\npassword = { file = \"pg\" }\n[models.providers.o]\nkind = \"openai\"\napi_key = { env = \"MY_KEY\" }\n\
                [upstreams.mail]\nurl = \"https://127.0.0.1:9/mcp\"\ncredential = \"hunter2\"";
    let loaded = load_in(folder.path(), text, &Environment::from_iter([("MY_KEY", "hunter2")])).unwrap();
    assert_eq!(loaded.config.db.password.as_ref().unwrap().expose_secret(), "hunter2");
    assert_eq!(loaded.config.models.providers["o"].api_key.as_ref().unwrap().expose_secret(), "hunter2");
    let shown = [loaded.effective.toml(), loaded.effective.json().to_string(), format!("{loaded:?}")];
    for shown in &shown {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(shown[0].contains("password = \"***\""), "{}", shown[0]);
}

#[test]
fn the_file_that_the_documentation_of_models_shows_is_one_that_loads() {
    let source = include_str!("../../../cardea-model/src/config.rs");
    let (_, shown) = source.split_once("/// ```toml\n").unwrap();
    let (shown, _) = shown.split_once("/// ```\n").unwrap();
    let file: String = shown.lines().map(|line| format!("{}\n", line.trim_start_matches("///"))).collect();
    let loaded = load(&file, &Environment::from_iter([("OPENAI_API_KEY", "sk-1")])).unwrap();
    assert_eq!(loaded.config.models.chain("main"), ["main"]);
}

#[test]
fn secrets_in_a_list_are_starred_as_well() {
    let (new, old) =
        ("Ly8vLy8vLy8vLy8vLy8vLy8vLy8vLy8vLy8vLy8vLy8=", "Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8=");
    let list = format!("[vault]\nroot_key = \"{new}\"\nold_root_keys = [");
    for (text, variables) in [
        (format!("{list}\"{old}\"]"), vec![]),
        (format!("{list}{{ env = \"MY_OLD\" }}]"), vec![("MY_OLD", old)]),
    ] {
        let loaded = load(&text, &Environment::from_iter(variables)).unwrap();
        assert_eq!(loaded.config.vault.old_root_keys.len(), 1);
        for shown in [loaded.effective.toml(), loaded.effective.json().to_string()] {
            assert!(!shown.contains("Pz8") && shown.contains("old_root_keys"), "{shown}");
        }
    }
}

#[test]
fn what_config_show_prints_is_a_configuration_that_means_the_same() {
    let text = "[server]\nbind = \"127.0.0.1:81\"\n[upstreams.\"ops\"]\nurl = \"https://h/mcp\"\neffects = { get = \"read\" }\n\
                [limits.user_budget]\ntokens = 5\n";
    let folder = tempfile::tempdir().unwrap();
    let load = |text: &str, environment: &Environment| load_in(folder.path(), text, environment);
    let first = load(text, &nothing_set()).unwrap();
    let again = load(&first.effective.toml(), &nothing_set())
        .unwrap_or_else(|error| panic!("{error}\n{}", first.effective.toml()));
    let bare = load("", &nothing_set()).unwrap().effective.toml();
    load(&bare, &nothing_set()).unwrap_or_else(|error| panic!("{error}\n{bare}"));
    let shown = |loaded: &Loaded| {
        let mut json = loaded.effective.json();
        json.as_object_mut().unwrap().values_mut().for_each(|value| *value = value["value"].take());
        json
    };
    assert_eq!(shown(&first), shown(&again));
    assert!(first.effective.toml().contains("cardea.toml:2"));
}

#[test]
fn what_a_default_comes_to_is_what_counts_and_what_is_shown() {
    let variables = Environment::from_iter([("HOSTNAME", "pod-7.shop")]);
    let of = |text: &str| {
        let loaded = load_in(Path::new("x"), text, &variables).unwrap();
        let shown = loaded.effective.json();
        for (key, value) in [("db.url", &loaded.config.db.url), ("db.node", &loaded.config.db.node)] {
            assert_eq!(shown[key]["value"], value.as_str(), "{text}");
        }
        (loaded.config.db.url, loaded.config.db.node)
    };
    let main = || "main".to_owned();
    assert_eq!(of("[data]\ndir = \"/d\""), ("sqlite:/d/cardea.db".to_owned(), main()));
    let written = "[data]\ndir = \"/d\"\n[db]\nurl = \"sqlite:data/cardea.db\"";
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let url = load_in(folder.path(), written, &variables).unwrap().config.db.url;
    assert_eq!(
        url,
        format!("sqlite:{}", folder.path().join("data/cardea.db").display()),
        "it was written so"
    );
    let shared = "[db]\nurl = \"postgres://cardea@127.0.0.1/cardea\"";
    assert_eq!(of(shared).1, "pod-7.shop", "two pods are two nodes");
    assert_eq!(of(&format!("{shared}\nnode = \"main\"")).1, "main");
}

#[test]
fn hosts_of_long_names_that_differ_anywhere_are_two_nodes() {
    let node = |host: &str| {
        let variables = Environment::from_iter([("HOSTNAME", host)]);
        let shared = "[db]\nurl = \"postgres://cardea@127.0.0.1/cardea\"";
        load_in(Path::new("x"), shared, &variables).unwrap().config.db.node
    };
    let pod = |end: &str| format!("{}-{end}", "assistants-of-the-shop-in-the-north".repeat(2).split_at(57).0);
    assert_eq!(pod("x7k2p").len(), 63, "the longest that a pod has");
    assert_eq!(node(&pod("x7k2p")), pod("x7k2p"));
    let domain = "assistants.of-a-shop-in-the-north.of-a-country-in-the-north.example";
    let pairs = [
        (pod("x7k2p"), pod("x7m9q")),
        (format!("a.{domain}"), format!("b.{domain}")),
        ("ü1".into(), "ö1".into()),
    ];
    for (one, other) in pairs {
        assert_ne!(node(&one), node(&other));
        assert_eq!(node(&one), node(&one));
        assert!((1..=64).contains(&node(&one).len()), "{}", node(&one));
    }
}

#[test]
fn every_level_that_is_taken_lets_through_what_it_says() {
    for level in ["info", "info, cardea=debug", " INFO ,cardea=debug", "warn,cardea::span=trace"] {
        let config = load(&format!("[log]\nlevel = \"{level}\""), &nothing_set()).unwrap().config;
        let filter = config.log.filter().unwrap().to_string();
        assert!(filter.contains("info") || filter.contains("warn"), "{level}: {filter}");
    }
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("my-agents")).unwrap();
    fs::write(folder.path().join(FILE), "[agents]\ndir = \"my-agents\"").unwrap();
    let loaded = Config::load(&folder.path().join(FILE), &nothing_set()).unwrap();
    assert_eq!(loaded.config.agents.dir, folder.path().join("my-agents"));
    assert_eq!(loaded.config.data.dir, folder.path().join("data"));
    assert_eq!(loaded.config.db.url, format!("sqlite:{}", folder.path().join("data/cardea.db").display()));
}

#[test]
fn agents_are_read_with_the_configuration_and_their_slips_are_told_with_their_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let agents = folder.path().join("agents");
    fs::create_dir(&agents).unwrap();
    fs::write(agents.join("good.toml"), "model = \"rehearsal\"\ninstructions = \"Help.\"").unwrap();
    assert!(load_in(folder.path(), "", &nothing_set()).unwrap().agents.contains_key("good"));

    fs::write(
        agents.join("bad.toml"),
        "model = \"rehearsal\"\ninstructions = \"Help.\"\n[limits]\ntool_call = 3",
    )
    .unwrap();
    fs::write(agents.join("lost.toml"), "model = \"rehersal\"\ninstructions = \"Help.\"").unwrap();
    let told = load_in(folder.path(), "", &nothing_set()).unwrap_err().lines();
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].contains("bad.toml:4:1: limits.tool_call: unknown key") && told[0].contains("`tool_calls`"),
        "{told:#?}"
    );
    assert!(
        told[1].contains("lost.toml:1:9: model: there is no model `rehersal`")
            && told[1].contains("did you mean \"rehearsal\"?"),
        "{told:#?}"
    );
}

#[test]
fn a_configuration_made_by_a_program_is_checked_as_a_file_would_be() {
    let agent = |model: &str| {
        let text = format!("model = \"{model}\"\ninstructions = \"Help.\"");
        Agent::parse("helper", &text).unwrap()
    };
    assert!(Loaded::new(Config::default(), [agent("rehearsal")]).unwrap().agents.contains_key("helper"));
    let mut config = Config::default();
    config.limits.in_flight = 1;
    let told = Loaded::new(config, [agent("rehersal")]).unwrap_err().to_string();
    assert!(told.contains("limits.in_flight_per_tenant") && told.contains("`rehersal`"), "{told}");
}

#[test]
fn the_reference_pages_are_what_the_types_say() {
    for (name, written) in [("config.md", reference()), ("agents.md", agent_reference())] {
        reviewed(&format!("docs/reference/{name}"), &written);
        for (line, next) in written.lines().zip(written.lines().skip(1)) {
            assert!(
                !line.starts_with("- **") || next.trim().len() > 3,
                "{name}: nothing is said about {line}"
            );
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_fall(text in "(\\[[a-z.]{1,12}\\]\n)?[a-z_]{1,12} ?= ?[a-z0-9\"'{}\\[\\],.$ ]{0,30}\n?") {
        let _ = lines(&text, &nothing_set());
    }
}

#[test]
fn guard_profiles_of_the_folder_can_be_named_by_agents_and_their_slips_are_told_with_their_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let (agents, guards) = (folder.path().join("agents"), folder.path().join("guards"));
    fs::create_dir(&agents).unwrap();
    fs::create_dir(&guards).unwrap();
    let agent = "model = \"rehearsal\"\ninstructions = \"Help.\"\nguard = \"desk\"";
    fs::write(agents.join("helper.toml"), agent).unwrap();
    let missing = load_in(folder.path(), "", &nothing_set()).unwrap_err();
    assert!(missing.to_string().contains("guard profile `desk`"), "{missing}");
    let profile = "name = \"desk\"\n[[topic]]\nname = \"pills\"\nexamples = [\"Which pill helps?\"]\naction = \"refuse\"";
    fs::write(guards.join("desk.toml"), profile).unwrap();
    let loaded = load_in(folder.path(), "[guard]\nprofile = \"desk\"", &nothing_set()).unwrap();
    assert_eq!(loaded.guards[0].topics[0].name, "pills");
    for (file, text, says) in [
        ("other.toml", profile, "agents know the file as \"other\""),
        ("strict.toml", "name = \"strict\"", "a profile that ships"),
        ("broken.toml", "name = \"broken\"\ncolour = 1", "not well formed"),
        ("masked.toml", &profile.replace("desk", "masked").replace("refuse", "mask"), "cannot be masked"),
    ] {
        fs::write(guards.join(file), text).unwrap();
        let error = load_in(folder.path(), "", &nothing_set()).unwrap_err();
        let told = error.lines();
        assert!(
            told.iter().any(|line| line.file.ends_with(file) && line.to_string().contains(says)),
            "{error}"
        );
        fs::remove_file(guards.join(file)).unwrap();
    }
}

#[test]
fn what_kubernetes_says_of_a_service_of_this_name_is_no_configuration() {
    let told = [
        "CARDEA_SERVICE_HOST",
        "CARDEA_SERVICE_PORT",
        "CARDEA_SERVICE_PORT_HTTP",
        "CARDEA_PORT",
        "CARDEA_PORT_8080_TCP",
        "CARDEA_PORT_8080_TCP_ADDR",
        "CARDEA_PORT_8080_TCP_PORT",
        "CARDEA_PORT_8080_TCP_PROTO",
        "CARDEA_PORT_53_UDP",
    ];
    let all = told.map(|name| (name, "tcp://10.96.0.17:8080"));
    assert_eq!(lines("", &Environment::from_iter(all)), []);
    for slip in
        ["CARDEA_PORTS", "CARDEA_PORT_X_TCP", "CARDEA_PORT_80_FTP", "CARDEA_PORT_80_TCP_X", "CARDEA_SERVICE"]
    {
        let told = lines("", &Environment::from_iter([(slip, "1")]));
        assert_eq!(told.len(), 1, "{slip} may be a slip: {told:?}");
    }
}
