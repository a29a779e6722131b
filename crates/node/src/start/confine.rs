//! All rights but that of using what is open.

use mayfly_sys::confine::{self, Policy};

use super::StartError;
use super::acquire::Acquired;

/// Open descriptors in a process that may open no other.
pub struct Confined {
    pub acquired: Acquired,
    pub confinement: confine::Confined,
}

impl Confined {
    /// Gives up all capabilities, the user, files, and TCP but to the account service.
    pub fn confine(acquired: Acquired) -> Result<Self, StartError> {
        let settings = &acquired.settings;
        let privilege = &settings.privilege;
        let confinement = confine::confine(&Policy {
            capabilities: &[],
            user: Some((privilege.uid.get(), privilege.gid.get())),
            connect_tcp: &[settings.accounts.address.get_ref().port()],
            landlock_abi: *settings.lockdown.landlock_abi.get_ref(),
        })?;
        Ok(Self {
            acquired,
            confinement,
        })
    }
}
