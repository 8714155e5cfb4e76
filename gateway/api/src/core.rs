//! The core family (contract/core.md), mounted at `/`.

mod approvals;
mod authorization;
mod call;
mod description;
mod dialect;
mod documents;
mod fireblocks;
mod internal;
mod quorums;
mod registration;
mod request_digest;
mod sessions;
mod settings;
mod shapes;
mod system;
mod transactions;
mod user_api_keys;
mod users;
mod verification_services;

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use tower::ServiceBuilder;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use description::document;

use crate::{
    failure::Failure,
    layers::{self, access, admission, catch_panics, cors, guard_headers, request_id, size, source},
    state::{ApiState, App},
};

/// The public listener's routes. Serve it with connect info, or no source address is known: rates are then shared
/// by everybody and development keys refused.
pub fn public_router(state: ApiState) -> Router {
    let app = App::new(state);
    let (routes, _) = routes().split_for_parts();
    let routes = routes
        .merge(documents::routes())
        .fallback(async || Failure::NoRoute)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed);
    layered(routes, app)
}

/// Routes for verification services, without a fallback: they share the operator's listener, or have one of their own.
pub fn internal_router(state: ApiState) -> Router {
    let (routes, _) = internal_routes().split_for_parts();
    layered(routes.method_not_allowed_fallback(async || Failure::MethodNotAllowed), App::new(state))
}

fn layered(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    let layers = ServiceBuilder::new()
        // First, so that everything after it can name the request.
        .layer(from_fn_with_state(Arc::clone(&app.gate), request_id))
        // Outside all refusals, so that refused requests are seen too.
        .layer(from_fn(access))
        // Outside CORS, so that preflight answers carry them as well.
        .layer(from_fn(guard_headers))
        // Outside the dialect, so that a page can read why it was refused.
        .layer(cors(&app))
        // Words every failure from below in the family's language.
        .layer(from_fn(dialect::render))
        // Inside the dialect, so that a panic is an ordinary 500.
        .layer(catch_panics())
        // Before anything costs: overload is answered at once.
        .layer(from_fn_with_state(Arc::clone(&app.gate), admission))
        // Inside admission, so that a stuck request gives its place back.
        .layer(from_fn_with_state(Arc::clone(&app.gate), layers::timeout))
        // Before any refusal of what was sent: it is received, as far as it is, in its source's share.
        .layer(from_fn_with_state(Arc::clone(&app), source))
        // Cheap bounds before anything is parsed.
        .layer(from_fn_with_state(Arc::clone(&app.gate), size));
    routes.with_state(app).layer(layers)
}

/// What verification services call.
pub(crate) fn internal_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(internal::update_tee_proof))
        .routes(routes!(internal::update_settlement))
}

/// Every operation of the public listener, with its description.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(system::get_hello))
        .routes(routes!(system::health_check))
        .routes(routes!(sessions::generate_nonce))
        .routes(routes!(sessions::verify_siwe))
        .routes(routes!(sessions::refresh_token))
        .routes(routes!(sessions::logout))
        .routes(routes!(sessions::logout_all))
        .routes(routes!(sessions::validate_token))
        .routes(routes!(sessions::get_current_user))
        .routes(routes!(users::create_user))
        .routes(routes!(users::get_user_by_ethereum_address))
        .routes(routes!(user_api_keys::create_user_api_key, user_api_keys::list_user_api_keys))
        .routes(routes!(user_api_keys::revoke_user_api_key))
        .routes(routes!(settings::get_settings, settings::update_settings))
        .routes(routes!(settings::get_settings_by_ethereum_address))
        .routes(routes!(transactions::create_transaction))
        .routes(routes!(transactions::get_user_transactions))
        .routes(routes!(approvals::create_approval))
        .routes(routes!(approvals::get_approval_status))
        .routes(routes!(registration::register_encryption_keys))
        .routes(routes!(registration::get_user_profile))
        .routes(routes!(verification_services::get_all_verification_services))
        .routes(routes!(verification_services::get_active_verification_services))
        .routes(routes!(verification_services::get_verification_service_by_id))
        .routes(routes!(verification_services::get_verification_service_by_inbox))
        .routes(routes!(verification_services::get_verification_service_by_pgp_public_key))
        .merge(vendor_routes())
}

fn vendor_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(
            quorums::update_privy_quorum,
            quorums::get_privy_quorum,
            quorums::delete_privy_quorum
        ))
        .routes(routes!(quorums::register_privy_quorum))
        .routes(routes!(quorums::create_quorum))
        .routes(routes!(fireblocks::generate_csr))
        .routes(routes!(fireblocks::get_integration_status))
        .routes(routes!(fireblocks::get_all_integrations))
        .routes(routes!(fireblocks::get_csr))
        .routes(routes!(fireblocks::complete_integration))
        .routes(routes!(fireblocks::validate_integration))
        .routes(routes!(fireblocks::get_fireblocks_config))
        .routes(routes!(fireblocks::create_admin_transaction))
}

#[cfg(test)]
mod tests;
