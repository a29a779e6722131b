//! The account record, the rules for its fields, and what every other floor needs. Nothing here
//! opens a connection or a database.

pub mod clock;
pub(crate) mod error;
pub(crate) mod fields;
pub(crate) mod files;
pub(crate) mod limits;
pub mod password;
pub(crate) mod payments;
pub(crate) mod random;
pub(crate) mod record;
pub(crate) mod rectify;
pub(crate) mod sign_up;
pub(crate) mod subscription;
