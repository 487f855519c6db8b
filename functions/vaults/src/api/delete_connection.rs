//! `DELETE /v1/integrations/connections/{id}`: disconnects an account. Its links go too, and the grant is taken back at the
//! provider, where it can be.

use axum::extract::State;
use http::StatusCode;
use shared::auth::{Caller, needs};
use shared::http::ApiError;

use super::input::NamedConnection;
use crate::Vaults;

pub(super) async fn delete_connection(
    State(vaults): State<Vaults>,
    caller: Caller<needs::VaultsWrite>,
    NamedConnection(id): NamedConnection,
) -> Result<StatusCode, ApiError> {
    vaults.disconnect(caller.tenant(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
