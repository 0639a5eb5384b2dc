//! Async functions as tools.
//!
//! A handler is an `async fn` whose parameters say what they need: [`Args`] for the arguments of the call, [`State`]
//! for a value of the server, [`crate::Context`] for the caller and the circumstances, [`Extra`] for what
//! `on_authenticate` found out, [`crate::Session`] for what the caller left earlier. It returns `Result<T>` with any
//! `T: Serialize`, or `Result<Json<T>>` to publish the schema of the result as well. The needs of parameters are known
//! before the server starts, so a missing state is an error at start and not in the first call.

use std::{
    any::{TypeId, type_name},
    future::Future,
    sync::Arc,
};

use cardea_core::{Code, Error};
use futures::future::BoxFuture;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Context, Session, Stop, call::Call, schema};

/// The arguments of the call, validated against the schema of `T` before the handler runs.
#[derive(Debug, Clone)]
pub struct Args<T>(pub T);

/// A clone of the server's value of this type, given to [`crate::Server::state`].
#[derive(Debug, Clone)]
pub struct State<T>(pub T);

/// What the `on_authenticate` hook found out about this caller.
#[derive(Debug, Clone)]
pub struct Extra<T>(pub Arc<T>);

/// Needs of a handler's parameters, known before any call.
#[derive(Debug, Default)]
pub struct Needs {
    pub(crate) input: Option<JsonObject>,
    pub(crate) output: Option<JsonObject>,
    pub(crate) states: Vec<(TypeId, &'static str)>,
}

impl Needs {
    fn of<P: FromCall>(mut self) -> Self {
        P::needs(&mut self);
        self
    }
}

/// A parameter of a handler.
pub trait FromCall: Sized + Send {
    /// Declares what it needs; called once when the tool is created.
    fn needs(_needs: &mut Needs) {}

    /// Extracts itself from a call.
    ///
    /// # Errors
    /// If the call does not carry it.
    fn from_call(call: &Call) -> Result<Self, Stop>;
}

impl<T: DeserializeOwned + JsonSchema + Send> FromCall for Args<T> {
    fn needs(needs: &mut Needs) {
        needs.input = Some(schema::of::<T>());
    }

    fn from_call(call: &Call) -> Result<Self, Stop> {
        match T::deserialize(call.arguments()) {
            Ok(args) => Ok(Self(args)),
            Err(why) => Err(Error::new(Code::InvalidArguments).detail(format!("{why}.")).into()),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> FromCall for State<T> {
    fn needs(needs: &mut Needs) {
        needs.states.push((TypeId::of::<T>(), type_name::<T>()));
    }

    fn from_call(call: &Call) -> Result<Self, Stop> {
        let missing =
            || Error::new(Code::Misconfigured).because(format!("no state of type {}", type_name::<T>()));
        Ok(Self(call.state().get::<T>().ok_or_else(missing)?.as_ref().clone()))
    }
}

impl<T: Send + Sync + 'static> FromCall for Extra<T> {
    fn from_call(call: &Call) -> Result<Self, Stop> {
        let missing =
            || Error::new(Code::Misconfigured).because(format!("no extra of type {}", type_name::<T>()));
        Ok(Self(call.context().extra::<T>().ok_or_else(missing)?))
    }
}

impl FromCall for Context {
    fn from_call(call: &Call) -> Result<Self, Stop> {
        Ok(call.context().clone())
    }
}

impl FromCall for Session {
    fn from_call(call: &Call) -> Result<Self, Stop> {
        Ok(call.context().session()?)
    }
}

/// Possible results of a handler: anything that serialises, [`Json`] of a type with a schema, or a [`Raw`] result.
pub trait IntoAnswer {
    /// Returns the schema that every answer matches, published with the tool. `None` if nothing is promised.
    #[must_use]
    fn schema() -> Option<JsonObject> {
        None
    }

    /// Converts to the result on the wire.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    fn into_answer(self) -> Result<CallToolResult, Stop>;
}

/// A result built by hand: images, several blocks, custom metadata.
#[derive(Debug)]
pub struct Raw(pub CallToolResult);

impl IntoAnswer for Raw {
    fn into_answer(self) -> Result<CallToolResult, Stop> {
        Ok(self.0)
    }
}

/// A result whose schema (`outputSchema`) is published. `T` must serialise as a JSON object.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: Serialize + JsonSchema> IntoAnswer for Json<T> {
    fn schema() -> Option<JsonObject> {
        Some(schema::of_result::<T>())
    }

    fn into_answer(self) -> Result<CallToolResult, Stop> {
        self.0.into_answer()
    }
}

impl<T: Serialize> IntoAnswer for T {
    fn into_answer(self) -> Result<CallToolResult, Stop> {
        let value = serde_json::to_value(self)
            .map_err(|why| Error::new(Code::Internal).because(format!("result is not JSON: {why}")))?;
        let text = match &value {
            Value::String(text) => text.clone(),
            // WHY: `()` says nothing, but `None` says that there is none.
            Value::Null if size_of::<T>() == 0 => String::new(),
            other => other.to_string(),
        };
        let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
        // WHY: revisions before 2026-07-28 allow only objects here, so other values are sent as text alone.
        result.structured_content = value.is_object().then_some(value);
        Ok(result)
    }
}

/// An async function that can be a tool. `M` only distinguishes the implementations.
pub trait Handler<M>: Send + Sync + 'static {
    /// Returns the needs of its parameters.
    fn needs() -> Needs;

    /// Runs it.
    fn run(&self, call: Call) -> BoxFuture<'static, Result<CallToolResult, Stop>>;
}

/// The parts of a handler, together.
trait Parts: Sized {
    fn of(call: &Call) -> Result<Self, Stop>;
}

macro_rules! handlers {
    ($(($($part:ident $bound:ident),*);)*) => {$(
        impl<$($part: FromCall,)*> Parts for ($($part,)*) {
            fn of(_call: &Call) -> Result<Self, Stop> {
                Ok(($($part::from_call(_call)?,)*))
            }
        }

        impl<F, Fut, T, E, $($part,)*> Handler<(T, E, $($part,)*)> for F
        where
            F: Fn($($part),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = std::result::Result<T, E>> + Send + 'static,
            T: IntoAnswer,
            E: Into<Stop>,
            $($part: FromCall,)*
        {
            fn needs() -> Needs {
                let needs = Needs::default();
                $(let needs = needs.of::<$part>();)*
                Needs { output: T::schema(), ..needs }
            }

            fn run(&self, call: Call) -> BoxFuture<'static, Result<CallToolResult, Stop>> {
                match <($($part,)*) as Parts>::of(&call) {
                    Ok(($($bound,)*)) => {
                        let work = self($($bound),*);
                        Box::pin(async move { work.await.map_err(Into::into)?.into_answer() })
                    }
                    Err(stop) => Box::pin(std::future::ready(Err(stop))),
                }
            }
        }
    )*};
}

handlers! {
    ();
    (A a);
    (A a, B b);
    (A a, B b, C c);
    (A a, B b, C c, D d);
    (A a, B b, C c, D d, G g);
}
