//! Name, password and CA, from the command line and the files that it names.

use zeroize::Zeroizing;

use crate::cli::AccountArgs;
use crate::error::Error;
use crate::file;
use crate::https::{Authorization, Ca};

/// What a request to the account service needs.
pub(crate) struct Login<'a> {
    pub(crate) ca: Ca,
    pub(crate) user: &'a str,
    pub(crate) password: Zeroizing<String>,
}

impl<'a> Login<'a> {
    /// Reads the files that the command line names.
    pub(crate) fn of(account: &'a AccountArgs) -> Result<Self, Error> {
        let pem = file::read(&account.accounts_ca)?;
        let ca = Ca::from_pem(&pem).ok_or_else(|| Error::Content {
            path: account.accounts_ca.clone(),
            expected: "certificates in PEM",
        })?;
        let password = file::read_password(account.password.password_file.as_deref())?;
        Ok(Self {
            ca,
            user: &account.user,
            password,
        })
    }

    pub(crate) fn authorization(&self) -> Authorization<'_> {
        Authorization::Basic(self.user, &self.password)
    }
}
