//! The macro behind the table of events.

/// Defines [`Event`](super::Event) and [`EventType`](super::EventType) from one table.
///
/// Each entry has the variant's documentation and fields, as in an enum, followed by the properties
/// of the event:
///
/// ```text
/// /// A location was removed from a service.
/// RegionRemoved { service: ServiceName, region: RegionName } {
///     subject: Subject::Service(service),      what the event is about
///     rows: [Row::Service(service)],           rows of the state that it changes
///     configures: false,                       true if it changes what gateways serve
/// }
/// ```
///
/// The expressions see the fields of the event by reference. An entry without one of the properties
/// does not compile.
macro_rules! define_events {
    (
        $(#[$attribute:meta])*
        enum Event;
        $(
            $(#[$doc:meta])*
            $name:ident { $($field:ident: $type:ty),* $(,)? } {
                subject: $subject:expr,
                rows: [$($row:expr),* $(,)?],
                configures: $configures:literal $(,)?
            }
        )*
    ) => {
        $(#[$attribute])*
        pub enum Event {
            $(
                $(#[$doc])*
                $name { $($field: $type),* },
            )*
        }

        /// Type of an [`Event`], without its fields.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $(
                $(#[$doc])*
                $name,
            )*
        }

        impl EventType {
            /// Every event type, in stored order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the name of the type, such as `RegionAdded`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),*
                }
            }
        }

        #[allow(unused_variables, reason = "most properties need only some of the fields")]
        impl Event {
            /// Returns the type of the event.
            #[must_use]
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Self::$name { .. } => EventType::$name),*
                }
            }

            /// Returns what the event is about.
            #[must_use]
            pub fn subject(&self) -> Subject<'_> {
                match self {
                    $(Self::$name { $($field),* } => $subject),*
                }
            }

            /// Returns the rows of the state that the event changes, besides the header, which
            /// every event changes. It may return more rows than change, never fewer.
            #[must_use]
            pub fn rows(&self) -> Vec<Row<'_>> {
                match self {
                    $(Self::$name { $($field),* } => vec![$($row),*]),*
                }
            }

            /// Returns true if the event changes what the gateways of its service serve.
            #[must_use]
            pub fn configures(&self) -> bool {
                match self {
                    $(Self::$name { .. } => $configures),*
                }
            }
        }
    };
}

pub(super) use define_events;
