//! The names that a group's operations go by in logs and metrics.

use http::Method;

/// A group's operations: each route as it is documented, `GET /v1/things/{id}`, with the name of its handler.
#[derive(Debug, Clone, Copy)]
pub struct Operations(pub &'static [(&'static str, &'static str)]);

impl Operations {
    /// The name of whatever is at no documented route, or asked for with another method.
    pub const NONE: &'static str = "none";

    /// The name of the routes that describe the group itself: its OpenAPI document and the page to read it on.
    pub const DESCRIBE: &'static str = "describe";
    /// Where those are, under the group's base path.
    pub const DESCRIBED_AT: [&'static str; 2] = ["/openapi.json", "/docs"];

    /// The operation at a route that matched, which may have the group's base path before it.
    #[must_use]
    pub fn named(self, method: &Method, route: &str) -> &'static str {
        // A HEAD is answered by the handler of the GET.
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        if method == Method::GET && Self::DESCRIBED_AT.iter().any(|path| route.ends_with(path)) {
            return Self::DESCRIBE;
        }
        let found = self.0.iter().filter(|(known, _)| {
            let documented = known.split_once(' ');
            documented.is_some_and(|(known, path)| known == method.as_str() && route.ends_with(path))
        });
        found.max_by_key(|(known, _)| known.len()).map_or(Self::NONE, |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_found_with_its_method_under_any_base() {
        let operations = Operations(&[
            ("GET /v1/things", "list_things"),
            ("POST /v1/things", "create_thing"),
            ("GET /v1/things/{id}", "get_thing"),
            ("GET /v1/boxes/v1/things", "list_things_of_boxes"),
        ]);
        for (method, route, name) in [
            (Method::GET, "/v1/things", "list_things"),
            (Method::HEAD, "/base/v1/things", "list_things"),
            (Method::POST, "/base/v1/things", "create_thing"),
            (Method::GET, "/v1/things/{id}", "get_thing"),
            (Method::GET, "/v1/boxes/v1/things", "list_things_of_boxes"),
            (Method::DELETE, "/v1/things", "none"),
            (Method::GET, "/v1/things/{id}/parts", "none"),
            (Method::GET, "", "none"),
            (Method::GET, "/base/openapi.json", "describe"),
            (Method::HEAD, "/docs", "describe"),
            (Method::POST, "/docs", "none"),
        ] {
            assert_eq!(operations.named(&method, route), name, "{method} {route}");
        }
    }
}
