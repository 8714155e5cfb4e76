//! Cases by hand first, then properties over generated situations.

mod cases;
mod floor;
mod properties;
mod scopes;
mod situation;
