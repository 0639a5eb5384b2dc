//! Guards: who may see and call a tool.
//!
//! A guard looks at one caller (and, in a call, at the arguments) and says yes or why not. The same guards decide
//! what is listed and what may be called, so the two cannot differ. A guard that cannot decide refuses.

use std::{collections::BTreeSet, sync::Arc};

use cardea_core::{Code, Error, principal::Principal};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::Context;

/// What a guard is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// Who asks, and under what conditions.
    pub context: &'a Context,
    /// The arguments of the call. `None` while listing: answer whether any call could pass. What is listed may be
    /// asked for before the protocol side has read the request, so [`Context::rmcp`] is not there then.
    pub arguments: Option<&'a Value>,
}

impl Ask<'_> {
    /// The caller, or the refusal for one who has not signed in.
    ///
    /// # Errors
    /// [`Code::NotSignedIn`].
    pub fn principal(&self) -> Result<&Principal, Error> {
        self.context.principal()
    }
}

/// Says who may call. Implement it for rules of your own.
///
/// The error is told to the caller: name the rule that failed, never what else exists.
pub trait Guard: Send + Sync + 'static {
    /// `Ok` lets the call pass. [`Code::Denied`], [`Code::ScopeMissing`] and [`Code::NotSignedIn`] say no; any other error says
    /// that the guard could not decide, which refuses as well, also behind [`GuardExt::not`].
    fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>>;

    /// The rule in a few words, for the matrix of rights and for logs.
    fn rule(&self) -> String;

    /// Scopes by which the guard can be met, for challenges and metadata.
    fn scopes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether arguments change its answer. While this is true, a guard that is [turned round](GuardExt::not) passes while
    /// listing: that some call passes does not say that all do.
    fn is_by_arguments(&self) -> bool {
        true
    }
}

/// A guard as routers hold it.
pub type SharedGuard = Arc<dyn Guard>;

/// Puts guards together: both, either, or not at all.
pub trait GuardExt: Guard + Sized {
    /// Passes if both pass.
    fn and(self, other: impl Guard) -> All {
        All(vec![Arc::new(self), Arc::new(other)])
    }

    /// Passes if one passes.
    fn or(self, other: impl Guard) -> Any {
        Any(vec![Arc::new(self), Arc::new(other)])
    }

    /// Passes if it refuses. A caller who has not signed in is refused as well.
    fn not(self) -> Not {
        Not(Arc::new(self))
    }
}

impl<G: Guard> GuardExt for G {}

/// Made by [`GuardExt::and`].
pub struct All(Vec<SharedGuard>);

impl Guard for All {
    fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            for guard in &self.0 {
                guard.check(ask).await?;
            }
            Ok(())
        })
    }

    fn rule(&self) -> String {
        join(&self.0, " and ")
    }

    fn scopes(&self) -> Vec<String> {
        self.0.iter().flat_map(|guard| guard.scopes()).collect()
    }

    fn is_by_arguments(&self) -> bool {
        self.0.iter().any(|guard| guard.is_by_arguments())
    }
}

/// Made by [`GuardExt::or`].
pub struct Any(Vec<SharedGuard>);

impl Guard for Any {
    fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let (mut refused, mut failed) = (None, None);
            for guard in &self.0 {
                match guard.check(ask).await {
                    Ok(()) => return Ok(()),
                    Err(why) if is_refusal(why.code()) => refused = refused.or(Some(why)),
                    Err(why) => failed = failed.or(Some(why)),
                }
            }
            // WHY: while one of them has not decided, the others' refusals are no "not so" that could be turned round.
            Err(failed.or(refused).unwrap_or_else(|| Error::new(Code::Denied)))
        })
    }

    fn rule(&self) -> String {
        join(&self.0, " or ")
    }

    /// Those of the first that has some: one way in is enough.
    fn scopes(&self) -> Vec<String> {
        self.0.iter().map(|guard| guard.scopes()).find(|scopes| !scopes.is_empty()).unwrap_or_default()
    }

    fn is_by_arguments(&self) -> bool {
        self.0.iter().any(|guard| guard.is_by_arguments())
    }
}

/// Made by [`GuardExt::not`].
pub struct Not(SharedGuard);

impl Guard for Not {
    fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            ask.principal()?;
            match self.0.check(ask).await {
                // WHY: it says that some call passes, and another may not.
                Ok(()) if ask.arguments.is_none() && self.0.is_by_arguments() => Ok(()),
                Ok(()) => Err(Error::new(Code::Denied).detail(format!("It needs: {}.", self.rule()))),
                // WHY: only a refusal counts as "not so"; a guard that failed has decided nothing.
                Err(why) if matches!(why.code(), Code::Denied | Code::ScopeMissing) => Ok(()),
                Err(why) => Err(why),
            }
        })
    }

    fn rule(&self) -> String {
        format!("not {}", self.0.rule())
    }

    fn is_by_arguments(&self) -> bool {
        self.0.is_by_arguments()
    }
}

/// True if this says no; whatever else a guard says is that it could not decide.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::Denied | Code::ScopeMissing | Code::NotSignedIn)
}

fn join(guards: &[SharedGuard], word: &str) -> String {
    let rules: Vec<String> = guards.iter().map(|guard| guard.rule()).collect();
    format!("({})", rules.join(word))
}

/// How many of the wanted names must be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    One,
    Every,
}

impl Wanted {
    fn met(self, wanted: &[String], held: &BTreeSet<String>) -> bool {
        match self {
            Self::One => wanted.iter().any(|name| held.contains(name)),
            Self::Every => wanted.iter().all(|name| held.contains(name)),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::One => "one of",
            Self::Every => "all of",
        }
    }
}

fn names<I: IntoIterator<Item = S>, S: Into<String>>(names: I) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

/// A refusal; its words are only made where somebody reads them.
fn refused(ask: Ask<'_>, code: Code, rule: impl FnOnce() -> String) -> Error {
    let refusal = Error::new(code);
    if ask.arguments.is_none() { refusal } else { refusal.detail(rule()) }
}

fn ready<'a>(verdict: Result<(), Error>) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(std::future::ready(verdict))
}

/// Anybody who has signed in.
#[derive(Debug, Clone, Copy)]
pub struct RequireAuth;

impl Guard for RequireAuth {
    fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>> {
        ready(ask.principal().map(drop))
    }

    fn rule(&self) -> String {
        "signed in".to_owned()
    }

    fn is_by_arguments(&self) -> bool {
        false
    }
}

macro_rules! role_guards {
    ($($(#[$doc:meta])* $name:ident, $wanted:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Vec<String>);

        impl $name {
            /// A guard for these roles. Without any role nobody passes.
            pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(roles: I) -> Self {
                Self(names(roles))
            }
        }

        impl Guard for $name {
            fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>> {
                ready(ask.principal().and_then(|principal| {
                    if !self.0.is_empty() && Wanted::$wanted.met(&self.0, &principal.roles) {
                        return Ok(());
                    }
                    Err(refused(ask, Code::Denied, || format!("It needs: {}.", self.rule())))
                }))
            }

            fn rule(&self) -> String {
                format!("role {} {}", Wanted::$wanted.word(), self.0.join(", "))
            }

            fn is_by_arguments(&self) -> bool {
                false
            }
        }
    )*};
}

role_guards! {
    /// Anybody with one of these roles.
    HasRole, One;
    /// Anybody with all of these roles.
    HasAllRoles, Every;
}

macro_rules! scope_guards {
    ($($(#[$doc:meta])* $name:ident, $wanted:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Vec<String>);

        impl $name {
            /// A guard for these scopes. Without any scope nobody passes.
            pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(scopes: I) -> Self {
                Self(names(scopes))
            }
        }

        impl Guard for $name {
            fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>> {
                ready(ask.principal().and_then(|principal| {
                    if !self.0.is_empty() && Wanted::$wanted.met(&self.0, &principal.scopes) {
                        return Ok(());
                    }
                    Err(refused(ask, Code::ScopeMissing, || format!("It needs: {}.", self.rule())))
                }))
            }

            fn rule(&self) -> String {
                format!("scope {} {}", Wanted::$wanted.word(), self.0.join(", "))
            }

            fn scopes(&self) -> Vec<String> {
                match Wanted::$wanted {
                    Wanted::One => self.0.first().cloned().into_iter().collect(),
                    Wanted::Every => self.0.clone(),
                }
            }

            fn is_by_arguments(&self) -> bool {
                false
            }
        }
    )*};
}

scope_guards! {
    /// Anybody with one of these scopes.
    HasScope, One;
    /// Anybody with all of these scopes.
    HasAllScopes, Every;
}

macro_rules! fact_guards {
    ($($(#[$doc:meta])* $name:ident, $word:literal, $fact:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Vec<String>);

        impl $name {
            /// A guard for these names.
            pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(wanted: I) -> Self {
                Self(names(wanted))
            }
        }

        impl Guard for $name {
            fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>> {
                ready(ask.principal().and_then(|principal| {
                    let fact: fn(&Principal) -> Option<&str> = $fact;
                    match fact(principal) {
                        Some(fact) if self.0.iter().any(|wanted| wanted == fact) => Ok(()),
                        // WHY: the names of other tenants and clients are not the caller's business.
                        _ => Err(Error::new(Code::Denied).detail(concat!("This ", $word, " may not use it."))),
                    }
                }))
            }

            fn rule(&self) -> String {
                format!(concat!($word, " one of {}"), self.0.join(", "))
            }

            fn is_by_arguments(&self) -> bool {
                false
            }
        }
    )*};
}

fact_guards! {
    /// Only calls that come through one of these clients or API keys.
    RequireClientId, "client", |principal| principal.client.as_ref().map(cardea_core::id::ClientId::as_str);
    /// Only users of these tenants.
    RequireTenant, "tenant", |principal| Some(principal.tenant.as_str());
}
