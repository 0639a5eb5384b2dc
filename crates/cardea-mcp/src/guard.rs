//! Guards: who may see and call a tool.
//!
//! A guard looks at one caller (and, in a call, at the arguments) and allows it or says why not. The same guards
//! decide what is listed and what may be called, so the two cannot differ. A guard that cannot decide refuses.

use std::{collections::BTreeSet, sync::Arc};

use cardea_core::{Code, Error, principal::Principal};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::Context;

/// The question to a guard.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Name of the tool.
    pub tool: &'a str,
    /// Context of the call.
    pub context: &'a Context,
    /// Arguments of the call. `None` while listing: answer whether any call could pass. A list may be requested before
    /// the protocol side has read the request, so [`Context::rmcp`] is not available then.
    pub arguments: Option<&'a Value>,
}

impl Ask<'_> {
    /// Returns the caller.
    ///
    /// # Errors
    /// [`Code::NotSignedIn`] for an anonymous caller.
    pub fn principal(&self) -> Result<&Principal, Error> {
        self.context.principal()
    }
}

/// Decides who may call. Implement it for rules of your own.
///
/// The error is shown to the caller: name the rule that failed, never what else exists.
pub trait Guard: Send + Sync + 'static {
    /// Checks a call. `Ok` lets it pass. [`Code::Denied`], [`Code::ScopeMissing`] and [`Code::NotSignedIn`] refuse it.
    /// Any other error means that the guard could not decide, which refuses as well, even inside [`GuardExt::not`].
    fn check<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<(), Error>>;

    /// Returns the rule in a few words, for the matrix of rights and for logs.
    fn rule(&self) -> String;

    /// Returns scopes that satisfy the guard, for challenges and metadata.
    fn scopes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns whether the result depends on the arguments. If so, an [inverted](GuardExt::not) guard passes while
    /// listing: that some call passes does not mean that all do.
    fn is_by_arguments(&self) -> bool {
        true
    }
}

/// A guard as held by routers.
pub type SharedGuard = Arc<dyn Guard>;

/// Combines guards: both, either, or not.
pub trait GuardExt: Guard + Sized {
    /// Passes if both pass.
    fn and(self, other: impl Guard) -> All {
        All(vec![Arc::new(self), Arc::new(other)])
    }

    /// Passes if one passes.
    fn or(self, other: impl Guard) -> Any {
        Any(vec![Arc::new(self), Arc::new(other)])
    }

    /// Passes if this guard refuses. An anonymous caller is refused as well.
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
            // WHY: if one of them could not decide, the refusals of the others are not a "no" that could be inverted.
            Err(failed.or(refused).unwrap_or_else(|| Error::new(Code::Denied)))
        })
    }

    fn rule(&self) -> String {
        join(&self.0, " or ")
    }

    /// Returns the scopes of the first guard that has some: one way in is enough.
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
                // WHY: passing while listing means that some call passes; another may not.
                Ok(()) if ask.arguments.is_none() && self.0.is_by_arguments() => Ok(()),
                Ok(()) => Err(Error::new(Code::Denied).detail(format!("It needs: {}.", self.rule()))),
                // WHY: only a refusal counts as "no"; a guard that failed has decided nothing.
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

/// Returns whether the code is a refusal; any other means that the guard could not decide.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::Denied | Code::ScopeMissing | Code::NotSignedIn)
}

fn join(guards: &[SharedGuard], word: &str) -> String {
    let rules: Vec<String> = guards.iter().map(|guard| guard.rule()).collect();
    format!("({})", rules.join(word))
}

/// How many of the names are required.
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

/// Builds a refusal; its text is built only if it is read.
fn refused(ask: Ask<'_>, code: Code, rule: impl FnOnce() -> String) -> Error {
    let refusal = Error::new(code);
    if ask.arguments.is_none() { refusal } else { refusal.detail(rule()) }
}

fn ready<'a>(verdict: Result<(), Error>) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(std::future::ready(verdict))
}

/// Admits every authenticated caller.
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
            /// Creates a guard for these roles. Without any role no one passes.
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
    /// Admits callers with one of these roles.
    HasRole, One;
    /// Admits callers with all of these roles.
    HasAllRoles, Every;
}

macro_rules! scope_guards {
    ($($(#[$doc:meta])* $name:ident, $wanted:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Vec<String>);

        impl $name {
            /// Creates a guard for these scopes. Without any scope no one passes.
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
    /// Admits callers with one of these scopes.
    HasScope, One;
    /// Admits callers with all of these scopes.
    HasAllScopes, Every;
}

macro_rules! fact_guards {
    ($($(#[$doc:meta])* $name:ident, $word:literal, $fact:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Vec<String>);

        impl $name {
            /// Creates a guard for these names.
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
    /// Admits calls that come through one of these clients or API keys.
    RequireClientId, "client", |principal| principal.client.as_ref().map(cardea_core::id::ClientId::as_str);
    /// Admits users of these tenants.
    RequireTenant, "tenant", |principal| Some(principal.tenant.as_str());
}
