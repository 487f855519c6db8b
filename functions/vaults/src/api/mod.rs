//! x
use axum::Router;
use shared::Platform;
/// r
pub fn router(_p: &Platform) -> Router {
    Router::new()
}
