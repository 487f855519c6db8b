//! `DELETE /v1/integrations/connections/{id}`: disconnects an account. Its links go too, and the grant is taken back at the
//! provider, where it can be.

use axum::extract::State;
use http::StatusCode;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::input::NamedConnection;
use crate::Vaults;

/// Disconnects an account.
///
/// Its links and its secret go too, and the grant is taken back at the platform where it can be. What was pushed stays there:
/// Vercel's installation is left alone, because Vercel would delete with it every variable that was pushed through it.
#[utoipa::path(
    delete,
    path = "/v1/integrations/connections/{id}",
    tag = "connections",
    security(("bearer" = ["vaults:write"])),
    params(
        ("id" = Uuid, Path, description = "The connection's id."),
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 400, description = "Something in the request cannot be used. All problems are named at once."),
    ),
)]
pub(super) async fn delete_connection(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsWrite>,
    NamedConnection(id): NamedConnection,
) -> Result<StatusCode, ApiError> {
    vaults.disconnect(caller.tenant(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
