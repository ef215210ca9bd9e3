//! `/channels` and what is below it.

mod channels;
mod deliveries;
mod request;
mod view;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub fn router() -> OpenApiRouter<App> {
    channels::router().merge(deliveries::router())
}
