//! The settings of a PostgreSQL server that leaves no traces.
//!
//! `postgresql.conf` beside this crate's `example.toml` passes the check.

use deadpool_postgres::Object;

use crate::core::error::StoreError;
use crate::store::Result;

/// Settings, and the values with which they leave no traces. A server that does not know a setting
/// is of another version, and does not have its feature either.
const QUIET: &[(&str, &[&str])] = &[
    // The time at which a transaction was committed.
    ("track_commit_timestamp", &["off"]),
    // Statements, their parameters, their time, and their client.
    ("log_statement", &["none"]),
    ("log_duration", &["off"]),
    ("log_min_duration_statement", &["-1"]),
    ("log_min_duration_sample", &["-1"]),
    ("log_transaction_sample_rate", &["0"]),
    ("log_statement_stats", &["off"]),
    ("log_parser_stats", &["off"]),
    ("log_planner_stats", &["off"]),
    ("log_executor_stats", &["off"]),
    ("debug_print_parse", &["off"]),
    ("debug_print_rewritten", &["off"]),
    ("debug_print_plan", &["off"]),
    ("log_lock_waits", &["off"]),
    ("log_temp_files", &["-1"]),
    ("log_connections", &["off", ""]),
    ("log_disconnections", &["off"]),
    ("log_replication_commands", &["off"]),
    // An error's text quotes the row that it is about.
    ("log_min_messages", &["fatal", "panic"]),
    ("log_min_error_statement", &["fatal", "panic"]),
    // An erasure ends with a checkpoint, and changes a table's statistics.
    ("log_checkpoints", &["off"]),
    ("log_autovacuum_min_duration", &["-1"]),
    // Old writes: the log, its copies, and its files under new names.
    ("archive_mode", &["off"]),
    ("wal_keep_size", &["0"]),
    ("wal_recycle", &["off"]),
    ("summarize_wal", &["off"]),
    // Libraries that keep statements or audit them.
    ("shared_preload_libraries", &[""]),
    ("session_preload_libraries", &[""]),
    ("local_preload_libraries", &[""]),
];

/// The first version with the role `pg_checkpoint`.
const OLDEST: i32 = 150_000;

/// The rights that the role needs, and the statements that grant them.
const MAY: &str = "SELECT
    pg_has_role('pg_read_all_settings', 'usage'),
    pg_has_role('pg_checkpoint', 'usage'),
    has_function_privilege('pg_switch_wal()', 'execute'),
    (SELECT count(*) FROM pg_replication_slots) = 0";
const GRANTS: [&str; 4] = [
    "GRANT pg_read_all_settings TO the role",
    "GRANT pg_checkpoint TO the role",
    "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO the role",
    "drop the replication slots, which keep the log",
];

/// Refuses a server that would keep more than the current rows.
pub(super) async fn check(client: &Object) -> Result<()> {
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await?
        .try_get(0)?;
    if version < OLDEST {
        return Err(StoreError::Traces("use PostgreSQL 15 or later".to_owned()));
    }
    let may = client.query_one(MAY, &[]).await?;
    let mut wanted = Vec::new();
    for (column, grant) in GRANTS.into_iter().enumerate() {
        if !may.try_get(column)? {
            wanted.push(grant.to_owned());
        }
    }
    let names: Vec<&str> = QUIET.iter().map(|&(name, _)| name).collect();
    let found = client
        .query(
            "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)",
            &[&names],
        )
        .await?;
    for row in found {
        wanted.extend(wish(row.try_get(0)?, row.try_get(1)?));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    Err(StoreError::Traces(wanted.join(", ")))
}

/// The correction of a setting, if it has another value.
fn wish(name: &str, value: &str) -> Option<String> {
    let (_, quiet) = QUIET.iter().find(|(known, _)| *known == name)?;
    let first = quiet.first().filter(|_| !quiet.contains(&value))?;
    Some(format!("set {name} = '{first}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_the_setting_and_its_value() {
        assert_eq!(wish("log_statement", "none"), None);
        assert_eq!(wish("log_min_messages", "panic"), None);
        let wish = wish("log_statement", "all").unwrap();
        assert_eq!(wish, "set log_statement = 'none'");
    }

    #[test]
    fn the_example_sets_them_all() {
        let example = include_str!("../../../postgresql.conf");
        for (name, quiet) in QUIET {
            let line = format!("{name} = '{}'", quiet[0]);
            assert!(
                example
                    .lines()
                    .any(|found| found.trim_start_matches("# ") == line),
                "{line}"
            );
        }
    }
}
