//! Command-line definitions for clap.

use std::path::PathBuf;

use cardea_core::guard::Surface;
use clap::{ArgGroup, Args, Parser, Subcommand, builder::PossibleValuesParser};

use crate::config::FILE;

const EXIT_CODES: &str = "Exit codes:
  0  done, and everything checked is in order
  1  a check failed, or the request was refused
  2  invalid command line
  3  a server, a database or a file could not be reached";

/// Cardea, the secure front door of AI agents.
#[derive(Debug, Parser)]
#[command(name = "cardea", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// Configuration file.
    #[arg(long, short, global = true, env = "CARDEA_CONFIG", default_value = FILE, value_name = "FILE")]
    pub config: PathBuf,
    /// Print machine-readable output (JSON).
    #[arg(long, global = true)]
    pub json: bool,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve,
    /// Play a complete scenario on this machine: no API key, no network, a temporary folder.
    Demo(Demo),
    /// Check the configuration and the files it names, and report every problem.
    Check,
    /// Show the configuration or its reference.
    Config {
        /// The subcommand.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Create a starter project: configuration, agent, connector, policies with tests.
    Init {
        /// Target folder; must be empty or not exist yet.
        dir: PathBuf,
    },
    /// Chat with an agent of a running server.
    Chat(Chat),
    /// Issue a token of the built-in issuer, for trying out, or revoke tokens.
    Token(Token),
    /// Manage API keys.
    Key {
        /// The subcommand.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Check connectors (HTTP services described by files) and store their secrets.
    Connector {
        /// The subcommand.
        #[command(subcommand)]
        command: ConnectorCommand,
    },
    /// List, approve or reject tool calls that wait for approval on a running server.
    Approvals(Approvals),
    /// Verify or export the audit log.
    Audit {
        /// The subcommand.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Review upstream tools whose definitions changed.
    Tool {
        /// The subcommand.
        #[command(subcommand)]
        command: ToolCommand,
    },
    /// Erase the data of a person.
    Person {
        /// The subcommand.
        #[command(subcommand)]
        command: PersonCommand,
    },
    /// Copy the database to a new folder, together with the checkpoints that prove it. The server may keep running.
    Backup {
        /// Target folder; must not exist yet or hold no backup.
        dir: PathBuf,
    },
    /// Manage the root key, under which all secrets are sealed.
    Vault {
        /// The subcommand.
        #[command(subcommand)]
        command: VaultCommand,
    },
    /// Migrate the database to the schema of this version.
    Migrate,
    /// Report what is configured, what is reachable and what is missing, with advice.
    Doctor,
    /// Test policies or show the versions that were in force.
    Policy {
        /// The subcommand.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Tune, clear or inspect the answer cache.
    Cache {
        /// The subcommand.
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Try, measure or list the guardrails.
    Guard {
        /// The subcommand.
        #[command(subcommand)]
        command: GuardCommand,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Shell to print the script for.
        shell: clap_complete::Shell,
    },
}

/// `cardea demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// Keep running after the scenario, with tokens for trying out (the default on a terminal).
    #[arg(long)]
    pub stay: bool,
    /// Exit after the scenario, even on a terminal.
    #[arg(long, conflicts_with = "stay")]
    pub no_stay: bool,
    /// Working folder [default: a new one in the system's temporary folder].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `cardea config`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Print every effective value and its origin, with secrets masked.
    Show,
    /// Print the reference of all keys as Markdown.
    Reference,
}

/// The server that a client command talks to.
#[derive(Debug, Clone, Default, Args)]
pub struct Server {
    /// Address of the server [default: from the configuration, else http://127.0.0.1:8080].
    #[arg(long, env = "CARDEA_URL")]
    pub url: Option<String>,
    /// Token or API key to authenticate with; prefer the environment variable.
    #[arg(long, env = "CARDEA_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// `cardea chat`.
#[derive(Debug, Clone, Args)]
pub struct Chat {
    /// Message to send; omit it for an interactive conversation, one line per message.
    pub message: Vec<String>,
    /// The server and the credential.
    #[command(flatten)]
    pub server: Server,
    /// Agent to talk to.
    #[arg(long, short, default_value = "support")]
    pub agent: String,
    /// Conversation to continue.
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
}

/// `cardea token`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Token {
    /// The revocation subcommand.
    #[command(subcommand)]
    pub command: Option<TokenCommand>,
    /// User to issue the token for.
    #[arg(required = true)]
    pub user: Option<String>,
    /// Tenant of the user.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Role to grant (repeatable).
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// Scope to grant (repeatable).
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
}

/// Subcommands of `cardea token`.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Revoke a token, or all tokens issued to a user so far. Running servers refuse them within two seconds.
    Revoke(TokenRevoke),
}

/// `cardea token revoke`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["id", "stdin", "user"])))]
pub struct TokenRevoke {
    /// Id of the token to revoke (`jti`).
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Read the token to revoke from standard input.
    #[arg(long)]
    pub stdin: bool,
    /// Revoke all tokens issued to this user so far.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Limit the revocation to this issuer (`iss`) [default: any issuer].
    #[arg(long, value_name = "ISSUER", conflicts_with = "stdin")]
    pub issuer: Option<String>,
    /// Also revoke the API keys of the user.
    #[arg(long, requires = "user")]
    pub keys: bool,
    /// Tenant of the user.
    #[arg(long, default_value = "default")]
    pub tenant: String,
}

/// `cardea key`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Create an API key. It is printed once and cannot be shown again.
    Create(KeyCreate),
    /// List the API keys of a tenant.
    List {
        /// Tenant whose keys to list.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Revoke an API key. Running servers refuse it within five seconds.
    Revoke {
        /// Id of the key, as printed by `key list`.
        id: String,
        /// Tenant of the key.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
}

/// `cardea key create`.
#[derive(Debug, Clone, Args)]
pub struct KeyCreate {
    /// User or workload that the key authenticates.
    pub user: String,
    /// Description of the key, for people.
    #[arg(long, default_value = "")]
    pub name: String,
    /// Tenant of the user.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Role to grant (repeatable).
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// Scope to grant (repeatable).
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Lifetime of the key, such as `90d` [default: until revoked].
    #[arg(long, value_name = "TIME")]
    pub expires: Option<cardea_core::time::Millis>,
}

/// `cardea vault`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum VaultCommand {
    /// Add a new root key to the data folder. Each server uses it from its next start on.
    AddKey,
    /// Rewrap all secrets under the newest root key, once all servers have started with it. Servers may keep running.
    Rewrap,
    /// Adopt the present data folder as the installation's, where the old one is lost for good. Everything that was
    /// sealed for users becomes unreadable. Stop all servers first.
    AdoptFolder,
}

/// `cardea tool`.
#[derive(Debug, Clone, Subcommand)]
pub enum ToolCommand {
    /// Show the tools that are held back because their definition changed, with the difference.
    Changes,
    /// Accept the current definition of a tool. Running servers offer it within two seconds.
    Accept(ToolAccept),
}

/// `cardea tool accept`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["tool", "upstream"])))]
pub struct ToolAccept {
    /// Tool to accept, as named by `tool changes`.
    #[arg(requires = "digest")]
    pub tool: Option<String>,
    /// Digest of the definition to accept, as shown by `tool changes`; a prefix is enough.
    pub digest: Option<String>,
    /// Accept everything of this upstream that is held back now.
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
}

/// `cardea person`.
#[derive(Debug, Clone, Subcommand)]
pub enum PersonCommand {
    /// Erase a user of your tenant on a running server: their conversations, the secrets sealed for them, and what
    /// backups of the database hold. Cannot be undone.
    Erase(PersonErase),
}

/// `cardea person erase`.
#[derive(Debug, Clone, Args)]
pub struct PersonErase {
    /// User to erase, as named in tokens (`sub`).
    pub user: String,
    /// Issuer of the user (`iss`), where users of several issuers share the name.
    #[arg(long, value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// Skip the confirmation prompt.
    #[arg(long, short)]
    pub yes: bool,
    /// The server and the credential of a caller with the role `admin`.
    #[command(flatten)]
    pub server: Server,
}

/// `cardea connector`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConnectorCommand {
    /// Check connector files, run their examples, and print what a model sees.
    Check {
        /// Connector file, or a folder of them.
        #[arg(default_value = "connectors")]
        path: PathBuf,
    },
    /// Seal the secret of one tenant or one user, read from standard input.
    Secret(ConnectorSecret),
}

/// `cardea connector secret`.
#[derive(Debug, Clone, Args)]
pub struct ConnectorSecret {
    /// Connector to store the secret for.
    pub name: String,
    /// Tenant that the secret belongs to.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// User of that tenant, for a connector with one secret per user.
    #[arg(long)]
    pub user: Option<String>,
    /// Issuer of the user (`iss`); may be omitted if only one is configured.
    #[arg(long, requires = "user")]
    pub issuer: Option<String>,
}

/// `cardea approvals`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Approvals {
    /// The decision. Without it, the command lists the waiting calls: those that the caller may decide, and the
    /// caller's own.
    #[command(subcommand)]
    pub command: Option<ApprovalsCommand>,
    /// The server and the credential. To decide, the caller needs a role that the policy names and must not be the
    /// requester.
    #[command(flatten)]
    pub server: Server,
}

/// A decision on an approval.
#[derive(Debug, Clone, Subcommand)]
pub enum ApprovalsCommand {
    /// Approve the call.
    Approve(Decide),
    /// Reject the call.
    Reject(Decide),
}

/// Arguments of a decision.
#[derive(Debug, Clone, Args)]
pub struct Decide {
    /// Id of the approval, as listed by `cardea approvals`.
    pub id: String,
    /// Reason, shown to the requester; the audit log holds a digest of it.
    #[arg(long, default_value = "")]
    pub comment: String,
    /// The server and the credential of a person who has signed in; API keys cannot decide.
    #[command(flatten)]
    pub server: Server,
}

/// `cardea audit`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Verify that no entry was changed, removed or inserted.
    Verify(AuditVerify),
    /// Export all entries as JSON lines, to be kept and verified elsewhere.
    Export(AuditExport),
}

/// `cardea audit verify`.
#[derive(Debug, Clone, Args)]
pub struct AuditVerify {
    /// File written by `audit export`, to verify instead of the database.
    #[arg(conflicts_with = "database")]
    pub file: Option<PathBuf>,
    /// Copy of a SQLite database, to verify instead of the configured one.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Checkpoints kept elsewhere [default: those beside the database].
    #[arg(long, value_name = "FILE")]
    pub checkpoints: Option<PathBuf>,
}

/// `cardea audit export`.
#[derive(Debug, Clone, Default, Args)]
pub struct AuditExport {
    /// Copy of a SQLite database, to export instead of the configured one.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
}

/// `cardea policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Run the tests of a policy set.
    Test {
        /// Folder of the policy set [default: the configured one].
        dir: Option<PathBuf>,
    },
    /// Print the policy texts of a version that a decision names; without a version, list all that were in force.
    Show {
        /// Version, such as `3f0a9c12d4e5b678`, or a prefix of it.
        version: Option<String>,
    },
}

/// `cardea cache`.
#[derive(Debug, Clone, Subcommand)]
pub enum CacheCommand {
    /// Find the similarity threshold that fits your own questions.
    Tune {
        /// JSON lines: pairs `{"a": "…", "b": "…", "same": true}`, or questions in the order in which they came,
        /// `{"text": "…", "class": "what is answered", "source": "whose cache"}`, which are replayed.
        file: PathBuf,
        /// Acceptable share of wrong hits.
        #[arg(long, default_value_t = 0.01)]
        wrong: f64,
    },
    /// Clear cached answers on a running server; only your own by default.
    Clear(CacheClear),
    /// Show the cache statistics of your tenant since the start of a running server.
    Stats(Server),
}

/// `cardea cache clear`.
#[derive(Debug, Clone, Args)]
pub struct CacheClear {
    /// The server and the credential.
    #[command(flatten)]
    pub server: Server,
    /// Clear all entries of your tenant with this tag (role `admin`).
    #[arg(long, conflicts_with_all = ["user", "all"])]
    pub tag: Option<String>,
    /// Clear all entries of this user of your tenant (role `admin`).
    #[arg(long, conflicts_with = "all")]
    pub user: Option<String>,
    /// Clear all entries of your tenant (role `admin`).
    #[arg(long)]
    pub all: bool,
}

/// `cardea guard`.
#[derive(Debug, Clone, Subcommand)]
pub enum GuardCommand {
    /// Scan a text and print the findings, never the values.
    Scan(GuardScan),
    /// Measure a profile on labelled texts.
    Eval {
        /// JSON lines with texts and their labels.
        file: PathBuf,
        /// Profile: `standard`, `strict`, `off-for-trusted-data`, or a file.
        #[arg(long, default_value = "standard")]
        profile: String,
    },
    /// List everything that the guardrails can find, by kind.
    List {
        /// Print the Markdown page of all rules instead.
        #[arg(long)]
        markdown: bool,
    },
}

/// `cardea guard scan`.
#[derive(Debug, Clone, Args)]
pub struct GuardScan {
    /// File to scan [default: standard input].
    pub file: Option<PathBuf>,
    /// Profile: `standard`, `strict`, `off-for-trusted-data`, or a file.
    #[arg(long, default_value = "standard")]
    pub profile: String,
    /// Kind of text to scan it as.
    #[arg(long, default_value = "user", value_parser = PossibleValuesParser::new(Surface::ALL.map(Surface::name)))]
    pub surface: String,
}
