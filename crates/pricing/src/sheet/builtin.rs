//! The sheets that come with the program. A new one is a file in `sheets/`, a row here, and its three months
//! worked out by hand in `bill/tests/by_hand.rs`: a test fails while a sheet lacks them.

use super::Sheet;

/// The sheet that is meant when none is named: the provider that works most like Dormouse.
pub const DEFAULT: &str = "neon-launch";

/// File name and text, in the order in which they are shown.
pub(crate) const FILES: [(&str, &str); 11] = [
    ("neon-free.toml", include_str!("../../sheets/neon-free.toml")),
    ("neon-launch.toml", include_str!("../../sheets/neon-launch.toml")),
    ("neon-scale.toml", include_str!("../../sheets/neon-scale.toml")),
    ("supabase-free.toml", include_str!("../../sheets/supabase-free.toml")),
    ("supabase-pro.toml", include_str!("../../sheets/supabase-pro.toml")),
    ("aurora-v2.toml", include_str!("../../sheets/aurora-v2.toml")),
    ("aurora-v2-io.toml", include_str!("../../sheets/aurora-v2-io.toml")),
    ("aurora-v2-eu.toml", include_str!("../../sheets/aurora-v2-eu.toml")),
    ("azure-flexible.toml", include_str!("../../sheets/azure-flexible.toml")),
    ("alloydb.toml", include_str!("../../sheets/alloydb.toml")),
    ("vm-always-on.toml", include_str!("../../sheets/vm-always-on.toml")),
];

/// All of them. A test reads each, so that this cannot fail in the field.
///
/// # Panics
/// When a file of this crate is not a sheet.
#[must_use]
pub fn all() -> Vec<Sheet> {
    let read = |(file, text): &(&str, &str)| Sheet::read(file, text).expect("the built-in sheets are tested");
    FILES.iter().map(read).collect()
}
