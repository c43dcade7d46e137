//! Names of the variants of an enum, as serde knows them: a list that cannot miss a new variant.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Names of the variants of the enum `T`.
pub fn variants<T: Deserialize<'static>>() -> &'static [&'static str] {
    match T::deserialize(Probe) {
        Err(Names(names)) => names,
        Ok(_) => &[],
    }
}

/// Deserializer that fails with the names of the variants that it is asked for.
struct Probe;

/// The names, as an error.
#[derive(Debug)]
struct Names(&'static [&'static str]);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.0.join(", "))
    }
}

impl std::error::Error for Names {}

impl de::Error for Names {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Names;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Names> {
        Err(Names(&[]))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Names> {
        Err(Names(variants))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::{Event, Rejection};

    use super::*;

    #[test]
    fn the_names_are_those_of_the_variants() {
        let events = variants::<Event>();
        assert!(events.contains(&"RegionAdded") && events.contains(&"RollStarted"), "{events:?}");
        assert!(variants::<Rejection>().contains(&"RegionExists"));
        assert!(variants::<u32>().is_empty());
    }
}
