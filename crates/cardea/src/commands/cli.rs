//! The command line, as clap reads it.

use std::path::PathBuf;

use cardea_core::guard::Surface;
use clap::{ArgGroup, Args, Parser, Subcommand, builder::PossibleValuesParser};

use crate::config::FILE;

const EXIT_CODES: &str = "Exit codes: 0 done, and everything checked is good; 1 something that was checked is not \
good; 2 the command line was not understood; 3 a server, a database or a file could not be reached.";

/// Cardea, the secure front door of AI agents.
#[derive(Debug, Parser)]
#[command(name = "cardea", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, short, global = true, env = "CARDEA_CONFIG", default_value = FILE, value_name = "FILE")]
    pub config: PathBuf,
    /// Write what a machine can read.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What Cardea can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve,
    /// Play the whole story on this machine: no key, no network, a fresh folder.
    Demo(Demo),
    /// Say everything that is wrong with the configuration and the files it names.
    Check,
    /// Look at the configuration.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Write a starting project: configuration, agent, policies with tests.
    Init {
        /// A folder that does not exist yet, or is empty.
        dir: PathBuf,
    },
    /// Talk to an agent of a running server.
    Chat(Chat),
    /// Make a token of the built-in issuer, for trying out.
    Token(Token),
    /// API keys.
    Key {
        /// What to do with them.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// HTTP services that are described by files.
    Connector {
        /// What to do with them.
        #[command(subcommand)]
        command: ConnectorCommand,
    },
    /// Calls that wait for a person's approval on a running server.
    Approvals(Approvals),
    /// The record of what was done.
    Audit {
        /// What to do with it.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// What upstream servers say of their tools.
    Tool {
        /// What to do with it.
        #[command(subcommand)]
        command: ToolCommand,
    },
    /// People, of whom can only be said that they are to be forgotten.
    Person {
        /// What to do with them.
        #[command(subcommand)]
        command: PersonCommand,
    },
    /// Copy the database to a new folder while a server runs, with the checkpoints that prove it.
    Backup {
        /// A folder that does not exist yet, or has no copy in it.
        dir: PathBuf,
    },
    /// The root key, under which all secrets are sealed.
    Vault {
        /// What to do with it.
        #[command(subcommand)]
        command: VaultCommand,
    },
    /// Bring the database to this version's tables.
    Migrate,
    /// Say what is configured, reachable and missing, and what to do about it.
    Doctor,
    /// Policies.
    Policy {
        /// What to do with them.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Cached answers.
    Cache {
        /// What to do with them.
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Guardrails.
    Guard {
        /// What to do with them.
        #[command(subcommand)]
        command: GuardCommand,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// `cardea demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// Stay up after the story, with tokens to try it out. The default on a terminal.
    #[arg(long)]
    pub stay: bool,
    /// End after the story even on a terminal.
    #[arg(long, conflicts_with = "stay")]
    pub no_stay: bool,
    /// The folder to work in. Default: a fresh one below the system's folder for temporary files.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `cardea config`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Print every value that counts and where it came from, secrets starred.
    Show,
    /// Print the reference of all keys, as Markdown.
    Reference,
}

/// A running server, for the commands that ask one.
#[derive(Debug, Clone, Default, Args)]
pub struct Server {
    /// Where the server listens. Default: what the configuration says, else http://127.0.0.1:8080.
    #[arg(long, env = "CARDEA_URL")]
    pub url: Option<String>,
    /// Who you are: a token or an API key. Better given in the environment than on the command line.
    #[arg(long, env = "CARDEA_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// `cardea chat`.
#[derive(Debug, Clone, Args)]
pub struct Chat {
    /// What to say. Without it, a conversation: one line, one answer.
    pub message: Vec<String>,
    /// Where, and who asks.
    #[command(flatten)]
    pub server: Server,
    /// The agent.
    #[arg(long, short, default_value = "support")]
    pub agent: String,
    /// Go on with this conversation.
    #[arg(long, value_name = "ID")]
    pub conversation: Option<String>,
}

/// `cardea token`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Token {
    /// Or take tokens back.
    #[command(subcommand)]
    pub command: Option<TokenCommand>,
    /// The user.
    #[arg(required = true)]
    pub user: Option<String>,
    /// The user's tenant.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// A role; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// A scope; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
}

/// What else can be done with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Take back a token, or all tokens of a user until now. Running servers refuse them within two seconds.
    Revoke(TokenRevoke),
}

/// `cardea token revoke`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["id", "stdin", "user"])))]
pub struct TokenRevoke {
    /// The token with this id (`jti`).
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The token that stands on standard input.
    #[arg(long)]
    pub stdin: bool,
    /// All tokens that this user was issued until now.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Only of this issuer, as its tokens name it (`iss`). Absent: of whichever.
    #[arg(long, value_name = "ISSUER", conflicts_with = "stdin")]
    pub issuer: Option<String>,
    /// Also the API keys that stand for the user.
    #[arg(long, requires = "user")]
    pub keys: bool,
    /// The tenant.
    #[arg(long, default_value = "default")]
    pub tenant: String,
}

/// `cardea key`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Make a key. It is printed once and never again.
    Create(KeyCreate),
    /// List the keys of a tenant.
    List {
        /// The tenant.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Revoke a key. Running servers stop taking it within five seconds.
    Revoke {
        /// Its id, as `key list` prints it.
        id: String,
        /// The tenant.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
}

/// `cardea key create`.
#[derive(Debug, Clone, Args)]
pub struct KeyCreate {
    /// The user or workload that the key stands for.
    pub user: String,
    /// What it is for, for people.
    #[arg(long, default_value = "")]
    pub name: String,
    /// The tenant.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// A role; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// A scope; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// How long it works, such as `90d`. Absent: until it is revoked.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<cardea_core::time::Millis>,
}

/// `cardea vault`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum VaultCommand {
    /// Add a new root key to the data folder. It counts from the next start of each server on.
    AddKey,
    /// Wrap all secrets under the newest root key, once all servers have started with it. Servers go on meanwhile.
    Rewrap,
    /// Make the data folder that is there the installation's, where the old one is lost for good. What was sealed for
    /// people opens no more. Stop all servers first.
    AdoptFolder,
}

/// `cardea tool`.
#[derive(Debug, Clone, Subcommand)]
pub enum ToolCommand {
    /// Show the tools that are held back since they say something else of themselves than what was accepted, and the
    /// difference.
    Changes,
    /// Accept what a tool says of itself now. Running servers offer it within two seconds.
    Accept(ToolAccept),
}

/// `cardea tool accept`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["tool", "upstream"])))]
pub struct ToolAccept {
    /// The tool, as `tool changes` names it.
    #[arg(requires = "digest")]
    pub tool: Option<String>,
    /// What it says, by the digest that `tool changes` shows, or its first characters.
    pub digest: Option<String>,
    /// Instead: everything of this server that waits now.
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
}

/// `cardea person`.
#[derive(Debug, Clone, Subcommand)]
pub enum PersonCommand {
    /// Erase a user of your tenant on a running server: what they said, what was sealed for them, and what lies in
    /// backups of the database. It cannot be undone.
    Erase(PersonErase),
}

/// `cardea person erase`.
#[derive(Debug, Clone, Args)]
pub struct PersonErase {
    /// The user, as tokens name them (`sub`).
    pub user: String,
    /// The issuer that vouches for the user (`iss`), where people of several issuers have the name.
    #[arg(long, value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// Do not ask first.
    #[arg(long, short)]
    pub yes: bool,
    /// Where, and who asks: somebody with the role `admin`.
    #[command(flatten)]
    pub server: Server,
}

/// `cardea connector`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConnectorCommand {
    /// Say everything that is wrong with a file, play its examples, and print what a model sees.
    Check {
        /// A file, or a folder of files.
        #[arg(default_value = "connectors")]
        path: PathBuf,
    },
    /// Seal the secret of one tenant, or of one user. It is read from standard input.
    Secret(ConnectorSecret),
}

/// `cardea connector secret`.
#[derive(Debug, Clone, Args)]
pub struct ConnectorSecret {
    /// The connector.
    pub name: String,
    /// The tenant.
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// The user of that tenant, for a connector whose secrets are each user's own.
    #[arg(long)]
    pub user: Option<String>,
    /// The issuer (`iss`) that vouches for the user. May be left out where only one is configured.
    #[arg(long, requires = "user")]
    pub issuer: Option<String>,
}

/// `cardea approvals`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Approvals {
    /// Or decide. Without it, list what waits: for you, and of yours for others.
    #[command(subcommand)]
    pub command: Option<ApprovalsCommand>,
    /// Where, and who asks: somebody with one of the roles that the policy names, and not the asker.
    #[command(flatten)]
    pub server: Server,
}

/// What a person can say.
#[derive(Debug, Clone, Subcommand)]
pub enum ApprovalsCommand {
    /// Let the call be made.
    Approve(Decide),
    /// Do not let the call be made.
    Reject(Decide),
}

/// A decision.
#[derive(Debug, Clone, Args)]
pub struct Decide {
    /// The approval, as `cardea approvals` names it.
    pub id: String,
    /// Why, for whoever asked. The audit log has a digest of it.
    #[arg(long, default_value = "")]
    pub comment: String,
    /// Where, and who decides: somebody who has signed in. An API key decides nothing.
    #[command(flatten)]
    pub server: Server,
}

/// `cardea audit`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Prove that no entry was changed, removed or put in.
    Verify(AuditVerify),
    /// Write all entries as JSON lines, so that they can be kept and proved elsewhere.
    Export(AuditExport),
}

/// `cardea audit verify`.
#[derive(Debug, Clone, Args)]
pub struct AuditVerify {
    /// A file that `audit export` wrote, instead of the database.
    #[arg(conflicts_with = "database")]
    pub file: Option<PathBuf>,
    /// A copy of an SQLite database, instead of the configured one.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Checkpoints that were kept apart. Default: those beside the database.
    #[arg(long, value_name = "FILE")]
    pub checkpoints: Option<PathBuf>,
}

/// `cardea audit export`.
#[derive(Debug, Clone, Default, Args)]
pub struct AuditExport {
    /// A copy of an SQLite database, instead of the configured one.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
}

/// `cardea policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Run the tests of a policy set.
    Test {
        /// Its folder. Default: the configured one.
        dir: Option<PathBuf>,
    },
    /// Print the texts that a version was made of, as decisions name it; without one, list the versions that were in force.
    Show {
        /// The version, such as `3f0a9c12d4e5b678`, or its beginning.
        version: Option<String>,
    },
}

/// `cardea cache`.
#[derive(Debug, Clone, Subcommand)]
pub enum CacheCommand {
    /// Find the threshold for questions in other words that fits your own questions.
    Tune {
        /// JSON lines: pairs `{"a": "…", "b": "…", "same": true}`, or questions in the order in which they came,
        /// `{"text": "…", "class": "what is answered", "source": "whose cache"}`, which are replayed.
        file: PathBuf,
        /// The share of wrong hits that is acceptable.
        #[arg(long, default_value_t = 0.01)]
        wrong: f64,
    },
    /// Forget cached answers on a running server: your own, unless said otherwise.
    Clear(CacheClear),
    /// What the caches of a running server did for your tenant since its start.
    Stats(Server),
}

/// `cardea cache clear`.
#[derive(Debug, Clone, Args)]
pub struct CacheClear {
    /// Where, and who asks.
    #[command(flatten)]
    pub server: Server,
    /// Everything of your tenant that carries this tag. For the role `admin`, as are the next two.
    #[arg(long, conflicts_with_all = ["user", "all"])]
    pub tag: Option<String>,
    /// Everything of this user of your tenant.
    #[arg(long, conflicts_with = "all")]
    pub user: Option<String>,
    /// Everything of your tenant.
    #[arg(long)]
    pub all: bool,
}

/// `cardea guard`.
#[derive(Debug, Clone, Subcommand)]
pub enum GuardCommand {
    /// Look through a text and print what was found; values are never printed.
    Scan(GuardScan),
    /// Measure a profile on labelled texts.
    Eval {
        /// JSON lines with a text and its labels.
        file: PathBuf,
        /// The profile: `standard`, `strict`, `off-for-trusted-data`, or a file.
        #[arg(long, default_value = "standard")]
        profile: String,
    },
    /// List everything that can be found, by kind.
    List {
        /// Print the page with all rules instead.
        #[arg(long)]
        markdown: bool,
    },
}

/// `cardea guard scan`.
#[derive(Debug, Clone, Args)]
pub struct GuardScan {
    /// The file to look through. Absent: standard input.
    pub file: Option<PathBuf>,
    /// The profile: `standard`, `strict`, `off-for-trusted-data`, or a file.
    #[arg(long, default_value = "standard")]
    pub profile: String,
    /// Where the text stands.
    #[arg(long, default_value = "user", value_parser = PossibleValuesParser::new(Surface::ALL.map(Surface::name)))]
    pub surface: String,
}
