//! Lists as GraphQL servers give them by Relay's convention: edges with nodes, and where the next page begins.

use serde::Deserialize;

/// A page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection<T> {
    pub(super) edges: Vec<Edge<T>>,
    page_info: Option<PageInfo>,
}

/// A node's place in a list.
#[derive(Deserialize)]
pub(super) struct Edge<T> {
    pub(super) node: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl<T> Connection<T> {
    /// What is on the page.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &T> {
        self.edges.iter().map(|edge| &edge.node)
    }

    /// The same, taken out.
    pub(super) fn into_nodes(self) -> impl Iterator<Item = T> {
        self.edges.into_iter().map(|edge| edge.node)
    }

    /// Where the next page begins.
    pub(super) fn following(&self) -> Option<String> {
        self.page_info.as_ref().filter(|info| info.has_next_page)?.end_cursor.clone()
    }

    /// Goes on with the page that follows.
    pub(super) fn take(&mut self, page: Self) {
        self.edges.extend(page.edges);
        self.page_info = page.page_info;
    }
}
