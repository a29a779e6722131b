//! The command line: `serve`, and what an operator does beside it.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Parser, Subcommand};
use zeroize::Zeroizing;

use crate::accounts::{extended, new_account, plain_sign_up};
use crate::authority::Authority;
use crate::config::Config;
use crate::record::{Account, Moment, Record};
use crate::start::StartError;
use crate::store::{Store, StoreError};
use crate::token::Signer;
use crate::{clock, files, nodes, password, random, sign_up};

/// Mayfly's account service.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    /// The configuration, TOML.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/mayfly/accounts.toml"
    )]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Subcommand)]
pub enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve,
    /// Accounts; works beside a running service.
    #[command(subcommand)]
    Account(AccountCommand),
    /// The authority that vouches for the service and for nodes.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Prints the public key of tokens, which nodes pin; makes the key pair if there is none.
    Keys,
}

/// What can be done with an account.
#[derive(Subcommand)]
pub enum AccountCommand {
    /// Makes an account.
    Create(Create),
    /// Extends a subscription, from its end or, if that has passed, from now.
    Extend {
        /// User name.
        name: String,
        /// Days to add; the end is rounded up to a whole hour.
        #[arg(long)]
        days: u32,
    },
    /// Prints the record; `devices` is null, since only the running service knows it.
    Show {
        /// User name.
        name: String,
    },
}

/// What a new account is made of.
#[derive(Args)]
pub struct Create {
    /// User name.
    name: String,
    /// Reads the password from standard input, to its first line's end. Without it, one is
    /// made and printed.
    #[arg(long)]
    password_stdin: bool,
    /// Days of subscription.
    #[arg(long, value_name = "N", conflicts_with = "until")]
    subscription_days: Option<u32>,
    /// End of the subscription, in RFC 3339; rounded up to a whole hour.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Wants an inner IPv6 address.
    #[arg(long)]
    ipv6: bool,
    /// Wants the streaming egress address.
    #[arg(long)]
    streaming: bool,
}

/// What can be done with the authority.
#[derive(Subcommand)]
pub enum CaCommand {
    /// Makes the authority, once.
    Init,
    /// Registers a node and prints its admission secret, which is not kept; a node that is
    /// registered gets a new one.
    Node {
        /// The node's name: a DNS name in lower case.
        name: String,
    },
}

/// Does everything but `serve`.
///
/// # Errors
/// What is missing, or does not fit.
pub async fn run(command: &Command, config: &Config) -> Result<(), StartError> {
    files::make_private_directory(&config.data)
        .map_err(|error| StartError::file(config.data.clone(), error))?;
    match command {
        Command::Serve => Err(StartError::Usage("serve is not run here")),
        Command::Account(AccountCommand::Create(create)) => {
            create_account(create, &Store::open(config).await?).await
        }
        Command::Account(AccountCommand::Extend { name, days }) => {
            extend(name, *days, &Store::open(config).await?).await
        }
        Command::Account(AccountCommand::Show { name }) => {
            show(name, &Store::open(config).await?).await
        }
        Command::Ca(CaCommand::Init) => Authority::init(&config.data, clock::unix_now())
            .map_err(|error| StartError::file(config.data.clone(), error)),
        Command::Ca(CaCommand::Node { name }) => register(name, config).await,
        Command::Keys => print_key(config),
    }
}

async fn create_account(create: &Create, store: &Store) -> Result<(), StartError> {
    sign_up::check_username(&create.name).map_err(|invalid| StartError::Usage(invalid.rule()))?;
    let now = clock::unix_now();
    let subscription = subscription(create, now)?;
    let made = !create.password_stdin;
    let password = if made {
        make_password()?
    } else {
        read_password()?
    };
    sign_up::check_password(&password).map_err(|invalid| StartError::Usage(invalid.rule()))?;
    let hash = password::hash(&password).map_err(|_| StartError::Randomness)?;
    let mut wish = plain_sign_up(create.name.clone(), String::new());
    wish.has_ipv6 = create.ipv6;
    wish.streaming = create.streaming;
    let mut account = new_account(wish, hash, now).map_err(|_| StartError::Randomness)?;
    account.subscription = subscription;
    store.create(account).await?;
    if made { print(&password) } else { Ok(()) }
}

fn subscription(create: &Create, now: u64) -> Result<Option<Moment>, StartError> {
    let Some(until) = &create.until else {
        return Ok(create
            .subscription_days
            .map(|days| extended(None, days, now)));
    };
    let end = clock::parse_rfc3339(until).ok_or(StartError::Usage(
        "expected a time in RFC 3339, like 2027-01-01T00:00:00Z",
    ))?;
    Ok(Some(Moment(clock::ceil_hour(end))))
}

fn make_password() -> Result<Zeroizing<String>, StartError> {
    let bytes = random::bytes::<18>().map_err(|_| StartError::Randomness)?;
    Ok(Zeroizing::new(
        URL_SAFE_NO_PAD.encode(*Zeroizing::new(bytes)),
    ))
}

fn read_password() -> Result<Zeroizing<String>, StartError> {
    let mut text = Zeroizing::new(String::new());
    let most = io::stdin().lock().take(4096).read_to_string(&mut text);
    most.map_err(StartError::Stdio)?;
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

async fn extend(name: &str, days: u32, store: &Store) -> Result<(), StartError> {
    let account = by_name(name, store).await?;
    let now = clock::unix_now();
    let end = store.edit(account.id, move |account| {
        account.updated_at = Moment(now);
        *account
            .subscription
            .insert(extended(account.subscription, days, now))
    });
    let end = end.await?;
    print(&clock::rfc3339(end.0).unwrap_or_default())
}

async fn show(name: &str, store: &Store) -> Result<(), StartError> {
    let record = serde_json::to_string_pretty(&Record::new(by_name(name, store).await?, None));
    print(&record.map_err(|error| StartError::Stdio(error.into()))?)
}

async fn by_name(name: &str, store: &Store) -> Result<Account, StartError> {
    let account = store.by_name(name.to_owned()).await?;
    Ok(account.ok_or(StoreError::NoSuchAccount)?)
}

async fn register(name: &str, config: &Config) -> Result<(), StartError> {
    if !nodes::is_name(name) {
        return Err(StartError::Usage(
            "a node's name is a DNS name in lower case",
        ));
    }
    // Its certificate would be good for the service's own name.
    if config
        .names()
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
    {
        return Err(StartError::Usage("this is a name of the account service"));
    }
    let (secret, kept) = nodes::new_secret().map_err(|_| StartError::Randomness)?;
    let store = Store::open(config).await?;
    store.register_node(name.to_owned(), kept).await?;
    print(&secret)
}

fn print_key(config: &Config) -> Result<(), StartError> {
    let signer = Signer::open(&config.token_key())
        .map_err(|error| StartError::file(config.token_key(), error))?;
    print(&signer.public_base64())
}

fn print(line: &str) -> Result<(), StartError> {
    writeln!(io::stdout().lock(), "{line}").map_err(StartError::Stdio)
}
