//! Cases by hand first, then properties over generated situations.

mod cases;
mod properties;
mod situation;
