//! How a section of the file is declared: once, with its documentation, defaults and ranges, from which come the
//! struct, the checks, the example file and the reference.

use std::ops::RangeInclusive;

use super::value::Value;

/// One key, as the reference describes it.
#[derive(Clone, Debug)]
pub(crate) struct KeyDescription {
    /// Dotted path of the section.
    pub(crate) section: &'static str,
    pub(crate) key: &'static str,
    pub(crate) meaning: String,
    pub(crate) kind: &'static str,
    /// As TOML; absent when the key has no default.
    pub(crate) default: Option<String>,
    pub(crate) range: Option<RangeInclusive<u64>>,
    /// As TOML; shown where there is no default.
    pub(crate) example: Option<&'static str>,
}

/// A table of the file.
pub(crate) trait Section: Default {
    const PATH: &'static str;

    fn about() -> String;

    /// Its keys in the order of declaration, followed by those of nested sections.
    fn describe() -> Vec<KeyDescription>;

    /// Adds a fault for every number outside its range.
    fn check_ranges(&self, faults: &mut Vec<String>);
}

pub(crate) fn check_range(
    section: &str,
    key: &str,
    value: &dyn Value,
    range: Option<&RangeInclusive<u64>>,
    faults: &mut Vec<String>,
) {
    let (Some(number), Some(range)) = (value.number(), range) else { return };
    if !range.contains(&number) {
        let (least, most) = (range.start(), range.end());
        let rule = if *most == u64::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
        faults.push(format!("`{section}.{key}` must be {rule}, not {number}"));
    }
}

pub(crate) fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares a section: `key: type = default, within range, like "example";`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub(crate) struct $name:ident = $path:literal {
            $(
                $(#[doc = $line:literal])+
                $key:ident: $kind:ty = $default:expr $(, within $range:expr)? $(, like $example:literal)?;
            )*
        }
        $(nested { $($nested_key:ident: $nested:ty),* $(,)? })?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(clippy::struct_field_names, reason = "every bound ends alike, also where a section has nothing else")]
        pub(crate) struct $name {
            $( $(#[doc = $line])+ pub(crate) $key: $kind, )*
            $( $( pub(crate) $nested_key: $nested, )* )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $key: $default, )*
                    $( $( $nested_key: Default::default(), )* )?
                }
            }
        }

        impl $crate::config::section::Section for $name {
            const PATH: &'static str = $path;

            fn about() -> String {
                $crate::config::section::paragraph(&[$($about),+])
            }

            fn describe() -> Vec<$crate::config::section::KeyDescription> {
                let defaults = Self::default();
                let keys = vec![$(
                    $crate::config::section::KeyDescription {
                        section: $path,
                        key: stringify!($key),
                        meaning: $crate::config::section::paragraph(&[$($line),+]),
                        kind: $crate::config::value::Value::kind(&defaults.$key),
                        default: $crate::config::value::Value::toml(&defaults.$key),
                        range: $crate::config::section::first_of(&[$($range)?]),
                        example: $crate::config::section::first_of(&[$($example)?]),
                    },
                )*];
                $( $( let keys = [keys, <$nested as $crate::config::section::Section>::describe()].concat(); )* )?
                keys
            }

            fn check_ranges(&self, faults: &mut Vec<String>) {
                $(
                    $crate::config::section::check_range(
                        $path,
                        stringify!($key),
                        &self.$key,
                        $crate::config::section::first_of(&[$($range)?]).as_ref(),
                        faults,
                    );
                )*
                $( $( $crate::config::section::Section::check_ranges(&self.$nested_key, faults); )* )?
            }
        }
    };
}
pub(crate) use section;

pub(crate) fn first_of<T: Clone>(given: &[T]) -> Option<T> {
    given.first().cloned()
}
