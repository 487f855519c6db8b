//! A group's operations, each named once.
//!
//! # Theory of operation
//! A group lists its operations as [`Routes`], each with its path, its handler and what is special about it. Everything
//! that has to know them comes out of that list: the router, the names in logs and metrics, what is in the audit log, and
//! which operations take an `Idempotency-Key`. A handler's name is the operation's: [`handler!`](crate::handler) takes the
//! one for the other, so there is nothing to keep in step. What cannot come out of the list (the template's routes, the
//! OpenAPI documents, the matrix of who may do what) is compared with it by the tests.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, NestedPath};
use axum::middleware::from_fn;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, extract::Request};
use http::Method;

use super::{BodyLimit, idempotent};
use crate::auth::{Needs, Permission};

/// How an operation is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// Whatever is not a `GET` is in the audit log.
    ByMethod,
    /// It reveals something or begins something although it is a `GET`, for whoever has this permission.
    Reveals(Permission),
    /// It is left to the log of requests, for this reason.
    Apart(&'static str),
}

/// What is known of an operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name: that of its handler.
    pub name: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path, as it is documented: `/v1/things/{id}`.
    pub path: &'static str,
    /// True if [`idempotent`] stands around it.
    pub is_idempotent: bool,
    /// How it is audited.
    pub audit: Audit,
}

/// A group's operations.
#[derive(Debug, Clone, Default)]
pub struct Operations(Arc<[Operation]>);

impl Operations {
    /// The name of whatever is at no documented route, or asked for with another method.
    pub const NONE: &'static str = "none";

    /// The name of the routes that describe the group itself: its OpenAPI document and the page to read it on.
    pub const DESCRIBE: &'static str = "describe";
    /// Where those are, under the group's base path.
    pub const DESCRIBED_AT: [&'static str; 2] = ["/openapi.json", "/docs"];

    /// Every operation, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter()
    }

    /// The operation at a documented path.
    #[must_use]
    pub fn at(&self, method: &Method, path: &str) -> Option<&Operation> {
        // A HEAD is answered by the handler of the GET.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.iter().find(|known| known.method == *method && known.path == path)
    }

    /// The name of what is at a documented path.
    #[must_use]
    pub fn named(&self, method: &Method, path: &str) -> &'static str {
        let reads = method == Method::GET || method == Method::HEAD;
        if reads && Self::DESCRIBED_AT.contains(&path) {
            return Self::DESCRIBE;
        }
        self.at(method, path).map_or(Self::NONE, |known| known.name)
    }
}

/// The path of the route that a request has matched, as it is documented, wherever the group is mounted.
pub(super) fn documented_path(request: &Request) -> &str {
    let matched = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let mounted = request.extensions().get::<NestedPath>().map_or("", |nested| nested.as_str().trim_end_matches('/'));
    matched.strip_prefix(mounted).unwrap_or(matched)
}

/// A handler under its own name: `handler!(get_thing)` is the function `get_thing` of the module `get_thing`.
#[macro_export]
macro_rules! handler {
    ($name:ident) => {
        $crate::http::Handler::new(stringify!($name), $name::$name)
    };
}

/// A handler, with what stands around it. [`handler!`](crate::handler) makes one.
#[must_use = "an operation is served only in its group's routes"]
pub struct Handler<S> {
    name: &'static str,
    serve: Box<dyn FnOnce(MethodFilter) -> MethodRouter<S>>,
    is_idempotent: bool,
    audit: Audit,
}

impl<S> std::fmt::Debug for Handler<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: Clone + Send + Sync + 'static> Handler<S> {
    /// A handler by its name.
    pub fn new<H, T>(name: &'static str, handler: H) -> Self
    where
        H: axum::handler::Handler<T, S>,
        T: 'static,
    {
        let serve = Box::new(move |filter| on(filter, handler));
        Self { name, serve, is_idempotent: false, audit: Audit::ByMethod }
    }

    /// It creates or acts, and takes an `Idempotency-Key` of whoever has the permission `P`.
    pub fn idempotent<P: Needs + Send + Sync + 'static>(self) -> Self {
        let serve = self.serve;
        let serve = Box::new(move |filter| serve(filter).route_layer(from_fn(idempotent::<P>)));
        Self { serve, is_idempotent: true, ..self }
    }

    /// It reads larger bodies than others do, or smaller ones.
    pub fn reads_at_most(self, bytes: usize) -> Self {
        let serve = self.serve;
        Self { serve: Box::new(move |filter| serve(filter).route_layer(Extension(BodyLimit(bytes)))), ..self }
    }

    /// It reveals something, or begins something, although it is a `GET`: it is in the audit log for whoever has this
    /// permission. Without the permission it does not.
    pub fn reveals(self, to: Permission) -> Self {
        Self { audit: Audit::Reveals(to), ..self }
    }

    /// It is not in the audit log although it is no `GET`, for this reason.
    pub fn not_audited(self, reason: &'static str) -> Self {
        Self { audit: Audit::Apart(reason), ..self }
    }
}

/// A group's operations with their handlers.
#[derive(Debug)]
#[must_use = "the operations are served in a frame"]
pub struct Routes<S> {
    router: Router<S>,
    operations: Vec<Operation>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), operations: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// `GET` at this path.
    pub fn get(self, path: &'static str, handler: Handler<S>) -> Self {
        self.with(Method::GET, MethodFilter::GET, path, handler)
    }

    /// `POST` at this path.
    pub fn post(self, path: &'static str, handler: Handler<S>) -> Self {
        self.with(Method::POST, MethodFilter::POST, path, handler)
    }

    /// `PUT` at this path.
    pub fn put(self, path: &'static str, handler: Handler<S>) -> Self {
        self.with(Method::PUT, MethodFilter::PUT, path, handler)
    }

    /// `PATCH` at this path.
    pub fn patch(self, path: &'static str, handler: Handler<S>) -> Self {
        self.with(Method::PATCH, MethodFilter::PATCH, path, handler)
    }

    /// `DELETE` at this path.
    pub fn delete(self, path: &'static str, handler: Handler<S>) -> Self {
        self.with(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn with(mut self, method: Method, filter: MethodFilter, path: &'static str, handler: Handler<S>) -> Self {
        let Handler { name, serve, is_idempotent, audit } = handler;
        self.operations.push(Operation { name, method, path, is_idempotent, audit });
        Self { router: self.router.route(path, serve(filter)), ..self }
    }

    /// What is known of the operations.
    #[must_use]
    pub fn operations(&self) -> Operations {
        Operations(self.operations.clone().into())
    }

    /// The routes, for the frame.
    pub(super) fn into_router(self) -> Router<S> {
        self.router
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing() {}

    fn handler(name: &'static str) -> Handler<()> {
        Handler::new(name, nothing)
    }

    #[test]
    fn an_operation_is_found_with_its_method() {
        let routes = Routes::default()
            .get("/v1/things", handler("list_things"))
            .post("/v1/things", handler("create_thing").not_audited("a test's"))
            .get("/v1/things/{id}", handler("get_thing").reveals(Permission::SecretsRead));
        let operations = routes.operations();
        for (method, path, name) in [
            (Method::GET, "/v1/things", "list_things"),
            (Method::HEAD, "/v1/things", "list_things"),
            (Method::POST, "/v1/things", "create_thing"),
            (Method::GET, "/v1/things/{id}", "get_thing"),
            (Method::DELETE, "/v1/things", "none"),
            (Method::GET, "/v1/things/{id}/parts", "none"),
            (Method::GET, "/base/v1/things", "none"),
            (Method::GET, "", "none"),
            (Method::GET, "/openapi.json", "describe"),
            (Method::HEAD, "/docs", "describe"),
            (Method::POST, "/docs", "none"),
        ] {
            assert_eq!(operations.named(&method, path), name, "{method} {path}");
        }
        let audits: Vec<Audit> = operations.iter().map(|known| known.audit).collect();
        assert_eq!(audits, [Audit::ByMethod, Audit::Apart("a test's"), Audit::Reveals(Permission::SecretsRead)]);
    }
}
