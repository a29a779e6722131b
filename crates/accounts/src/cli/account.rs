//! `mayfly-accounts account`: the commands for accounts.

mod list;

use std::io::{self, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::print;
use crate::config::Config;
use crate::core::clock::{ceil_hour, floor_hour, parse_rfc3339, rfc3339, unix_now};
use crate::core::error::{StartError, StoreError};
use crate::core::record::{Account, Flag, Moment, Record};
use crate::core::sign_up::{new_account, plain_sign_up};
use crate::core::subscription::extended;
use crate::core::{clock, fields, password, random};
use crate::store::Store;

/// The commands for accounts.
#[derive(Subcommand)]
pub enum Verb {
    /// Makes an account.
    Create(Create),
    /// Prints the record. `devices` is null, because only the running service knows it.
    Show {
        /// User name.
        name: String,
    },
    /// Extends a subscription from its end, or from now if it has ended.
    Extend {
        /// User name.
        name: String,
        #[command(flatten)]
        term: Term,
    },
    /// Extends an add-on in the same way.
    Addon {
        /// User name.
        name: String,
        /// Which add-on.
        #[arg(value_enum)]
        add_on: AddOn,
        #[command(flatten)]
        term: Term,
    },
    /// Erases the record and everything that the store would keep of it. Within a minute the
    /// running service has nodes report again, and denies the account's sessions.
    Erase {
        /// User name.
        name: String,
    },
    /// Prints fields of all accounts, in the order of their names, one account a line. Tabs
    /// separate the fields. A field that is null is empty.
    List {
        /// Fields of the record, except `devices`, which only the running service knows.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "username",
            value_name = "FIELD,.."
        )]
        fields: Vec<String>,
    },
}

/// An add-on.
#[derive(Clone, Copy, ValueEnum)]
pub enum AddOn {
    /// A public IPv4 address for the account alone.
    Ipv4,
    /// Traffic enters at one node and leaves at another.
    Multihop,
}

/// The length or the end of a subscription or an add-on.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Term {
    /// Days to add. The end is rounded up to a whole hour.
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// The new end in RFC 3339, which may be earlier than the present end. It is rounded up to a
    /// whole hour.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// The fields of a new account.
#[derive(Args)]
pub struct Create {
    /// User name.
    name: String,
    /// Reads the password from the first line of standard input. Without this option a password is
    /// made and printed.
    #[arg(long)]
    password_stdin: bool,
    /// Days of subscription.
    #[arg(long, value_name = "N", conflicts_with = "until")]
    subscription_days: Option<u32>,
    /// End of the subscription in RFC 3339. It is rounded up to a whole hour.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Wants an inner IPv6 address.
    #[arg(long)]
    ipv6: bool,
    /// Wants the streaming egress address.
    #[arg(long)]
    streaming: bool,
}

pub(super) async fn run(verb: &Verb, config: &Config) -> Result<(), StartError> {
    let store = Store::open(config).await?;
    match verb {
        Verb::Create(create) => make(create, &store).await,
        Verb::Show { name } => show(name, &store).await,
        Verb::Extend { name, term } => {
            extend(name, term, |account| &mut account.subscription, &store).await
        }
        Verb::Addon { name, add_on, term } => match add_on {
            AddOn::Ipv4 => extend(name, term, |account| &mut account.ipv4, &store).await,
            AddOn::Multihop => extend(name, term, |account| &mut account.multihop, &store).await,
        },
        Verb::Erase { name } => Ok(store.erase(by_name(name, &store).await?.id).await?),
        Verb::List { fields } => list::run(fields, &store).await,
    }
}

async fn make(create: &Create, store: &Store) -> Result<(), StartError> {
    fields::check_username(&create.name).map_err(|invalid| StartError::Usage(invalid.rule()))?;
    let now = unix_now();
    let subscription = match (&create.until, create.subscription_days) {
        (Some(until), _) => Some(moment(until)?),
        (None, days) => days.map(|days| extended(None, days, now)),
    };
    let made = !create.password_stdin;
    let password = if made {
        make_password()?
    } else {
        read_password()?
    };
    fields::check_password(&password).map_err(|invalid| StartError::Usage(invalid.rule()))?;
    let hash = password::hash(&password)?;
    let mut wish = plain_sign_up(create.name.clone(), String::new());
    wish.has_ipv6 = Flag(create.ipv6);
    wish.streaming = Flag(create.streaming);
    let mut account = new_account(wish, hash, now)?;
    account.subscription = subscription;
    store.create(account).await?;
    if made { print(&password) } else { Ok(()) }
}

fn moment(text: &str) -> Result<Moment, StartError> {
    let time = parse_rfc3339(text).ok_or(StartError::Usage(
        "expected a time in RFC 3339, like 2027-01-01T00:00:00Z",
    ))?;
    Ok(Moment(ceil_hour(time).min(clock::LATEST)))
}

fn make_password() -> Result<Zeroizing<String>, StartError> {
    let bytes = random::bytes::<18>()?;
    Ok(Zeroizing::new(
        URL_SAFE_NO_PAD.encode(*Zeroizing::new(bytes)),
    ))
}

fn read_password() -> Result<Zeroizing<String>, StartError> {
    let mut text = Zeroizing::new(String::new());
    let read = io::stdin().lock().take(4096).read_to_string(&mut text);
    read.map_err(StartError::Stdio)?;
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

async fn extend(
    name: &str,
    term: &Term,
    which: fn(&mut Account) -> &mut Option<Moment>,
    store: &Store,
) -> Result<(), StartError> {
    let until = term.until.as_deref().map(moment).transpose()?;
    let days = term.days.unwrap_or(0);
    let account = by_name(name, store).await?;
    let now = unix_now();
    let end = store.edit(account.id, move |account| {
        account.updated_at = Moment(floor_hour(now));
        let end = which(account);
        *end.insert(until.unwrap_or_else(|| extended(*end, days, now)))
    });
    print(&rfc3339(end.await?.0).unwrap_or_default())
}

async fn show(name: &str, store: &Store) -> Result<(), StartError> {
    let record = serde_json::to_string_pretty(&Record::new(by_name(name, store).await?, None));
    print(&record.map_err(|error| StartError::Stdio(error.into()))?)
}

async fn by_name(name: &str, store: &Store) -> Result<Account, StartError> {
    let account = store.by_name(name.to_owned()).await?;
    Ok(account.ok_or(StoreError::NoSuchAccount)?)
}
