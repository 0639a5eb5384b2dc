use super::*;

fn read(text: &str) -> ModelsConfig {
    toml::from_str(text).unwrap()
}

fn keys(config: &ModelsConfig) -> Vec<String> {
    config.problems().into_iter().map(|problem| problem.key).collect()
}

#[test]
fn without_a_word_there_is_the_rehearsal_model_and_nothing_else() {
    let config = read("");
    assert!(config.problems().is_empty());
    assert_eq!(config.chain("rehearsal"), ["rehearsal"]);
    assert!(config.chain("gpt-5").is_empty());
}

#[test]
fn every_problem_is_told_with_its_key() {
    let config = read(
        r#"
        retries = 9
        timeouts = { idle = "0ms" }
        [providers.a]
        kind = "openai"
        api_key = "${OPENAI_API_KEY}"
        [providers.b]
        kind = "anthropic"
        base_url = "ftp://models.example"
        timeouts = { first = "0ms" }
        [aliases.x]
        provider = "c"
        model = ""
        fallback = ["y"]
        max_output = 0
        "#,
    );
    let expected = [
        "models.providers.a.api_key",
        "models.providers.b.base_url",
        "models.providers.b.api_key",
        "models.providers.b.timeouts",
        "models.aliases.x.provider",
        "models.aliases.x.model",
        "models.aliases.x.max_output",
        "models.aliases.x.fallback",
        "models.timeouts",
        "models.retries",
    ];
    assert_eq!(keys(&config), expected);
    let unexpanded = config.problems().swap_remove(0).problem;
    assert!(unexpanded.contains("give the key itself"), "programs read no variables: {unexpanded}");
    assert!(toml::from_str::<ModelsConfig>("retrys = 1").is_err(), "an unknown key passed");
    assert!(toml::from_str::<ModelsConfig>("patience = \"5\"").is_err(), "a number without a unit passed");
}

#[test]
fn the_limit_of_an_answer_is_called_as_the_provider_calls_it() {
    let name = |more: &str| {
        let config = read(&format!("[providers.o]\nkind = \"openai\"\napi_key = \"k\"\n{more}"));
        config.providers["o"].dialect().limit
    };
    let (new, old) = (LimitName::MaxCompletionTokens, LimitName::MaxTokens);
    assert_eq!(name(""), new);
    assert_eq!(name("base_url = \"https://acme.openai.azure.com/openai/v1\""), new);
    assert_eq!(name("base_url = \"http://localhost:11434/v1\""), old);
    assert_eq!(name("base_url = \"https://proxy.example/v1\"\nlimit_name = \"max_completion_tokens\""), new);
    assert_eq!(name("limit_name = \"max_tokens\""), old);
}

#[test]
fn ids_of_calls_are_bounded_where_the_provider_bounds_them() {
    let ids = |more: &str| {
        let config = read(&format!("[providers.o]\nkind = \"openai\"\napi_key = \"k\"\n{more}"));
        config.providers["o"].dialect().ids
    };
    let at = |base: &str| ids(&format!("base_url = \"{base}\""));
    let own_name = "limit_name = \"max_tokens\"";
    for short in ["", own_name, "base_url = \"http://proxy.example\"\nlimit_name = \"max_completion_tokens\""]
    {
        assert_eq!(ids(short), CallIds::Short, "{short}");
    }
    assert_eq!(at("https://acme.openai.azure.com/openai/v1"), CallIds::Short);
    assert_eq!(at("https://api.mistral.ai/v1"), CallIds::Nine);
    assert_eq!(at("http://localhost:11434/v1"), CallIds::Any);
}

#[test]
fn a_ring_of_fallbacks_is_asked_once_around() {
    let config = read(
        r#"
        [providers.r]
        kind = "rehearsal"
        [aliases.a]
        provider = "r"
        model = "m"
        fallback = ["b", "c"]
        [aliases.b]
        provider = "r"
        model = "m"
        fallback = ["a"]
        [aliases.c]
        provider = "r"
        model = "m"
        "#,
    );
    assert_eq!(config.chain("a"), ["a", "b", "c"]);
}

#[test]
fn a_key_is_never_printed() {
    let config = read("[providers.o]\nkind = \"openai\"\napi_key = \"sk-very-secret\"");
    assert!(!format!("{config:?}").contains("sk-very-secret"));
}
