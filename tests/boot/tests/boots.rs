//! Boots in every way of `cargo xtask boots`, and judges the report, way by way. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a set-up that fails is a test that fails"
)]

use std::sync::OnceLock;

use mayfly_boots::{Args, Boot, Report, boots};

/// The report of all boots, made once for all tests.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| boots(&Args::default()).unwrap())
}

fn boot(way: &str) -> &'static Boot {
    let mut all = report().boots.iter();
    all.find(|boot| boot.way == way).unwrap()
}

#[track_caller]
fn ends_with_a_tunnel(way: &str) {
    assert_eq!(boot(way).failure, None);
    assert!(boot(way).enrolled_ms.unwrap() > 0);
}

#[test]
fn what_a_loader_hands_over_changes_nothing_and_a_slow_clock_is_set() {
    ends_with_a_tunnel("hostile");
    assert_eq!(boot("hostile").memory_mib, 128);
}

#[test]
fn a_fast_clock_is_set() {
    ends_with_a_tunnel("clock-fast");
}

#[test]
fn a_bios_boots_by_ipxe_over_tftp() {
    ends_with_a_tunnel("bios-ipxe-tftp");
}

#[test]
fn a_bios_boots_by_ipxe_over_http() {
    ends_with_a_tunnel("bios-ipxe-http");
}

#[test]
fn the_iso_boots_by_bios_and_by_uefi() {
    ends_with_a_tunnel("bios-iso");
    ends_with_a_tunnel("uefi-iso");
}

#[test]
fn uefi_boots_by_pxe() {
    ends_with_a_tunnel("uefi-pxe");
}

#[test]
fn uefi_boots_by_http_and_the_tpm_says_what_the_manifest_says() {
    ends_with_a_tunnel("uefi-http-measured");
    let pcrs = &boot("uefi-http-measured").pcrs;
    assert_eq!(pcrs.len(), 2, "{pcrs:?}");
}

#[test]
fn secure_boot_starts_what_is_signed() {
    ends_with_a_tunnel("secure-boot");
}

#[test]
fn under_secure_boot_an_initrd_and_a_command_line_beside_it_change_nothing() {
    ends_with_a_tunnel("secure-boot-hostile");
}

#[test]
fn secure_boot_refuses_another_kernel_initramfs_or_command_line() {
    for part in ["kernel", "initramfs", "command-line"] {
        assert_eq!(boot(&format!("tampered-{part}")).failure, None);
    }
}

#[test]
fn settings_that_a_stranger_signed_are_refused_told_and_leave_nothing_in_the_firmware() {
    let strangers = boot("strangers-settings");
    assert_eq!(strangers.failure, None);
    assert_eq!(strangers.beacon.as_deref(), Some("mayfly-boot 19"));
    assert_eq!(strangers.variables_changed, Vec::<String>::new());
}

#[test]
fn boots_leave_nothing_behind() {
    assert_eq!(report().left_behind, Vec::<String>::new());
}
