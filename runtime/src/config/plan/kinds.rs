//! Every kind of connection, source and sink there is, each with the settings of its own.

use std::fmt;

use crate::config::de::{Subject, fields_of, read};
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Node;
use crate::kafka;
use crate::sink;
use crate::source;
use crate::wasm;

/// A closed enum of kinds: one line for each, with the word for it and the settings that stand in the same table.
macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal, $settings:ty;)* }) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub enum $name {
            $($(#[$variant_doc])* $variant($settings),)*
        }

        impl $name {
            /// What `type` may be.
            pub const TYPES: &'static [&'static str] = &[$($word),*];

            /// What `type` says.
            pub fn type_name(&self) -> &'static str {
                match self {
                    $($name::$variant(_) => $word,)*
                }
            }

            /// Reads the settings of the kind that `word` names, which is one of [`Self::TYPES`].
            pub(in crate::config) fn read(
                word: &str,
                node: &Node,
                subject: &Subject,
                problems: &mut Vec<Diagnostic>,
            ) -> Option<$name> {
                match word {
                    $($word => read(node, subject, problems).map($name::$variant),)*
                    _ => None,
                }
            }

            /// The names of its settings, in the order in which they are declared.
            pub(in crate::config) fn fields(&self) -> &'static [&'static str] {
                match self {
                    $($name::$variant(_) => fields_of::<$settings>(),)*
                }
            }

            #[cfg(test)]
            pub(in crate::config) fn all_fields() -> Vec<&'static [&'static str]> {
                vec![$(fields_of::<$settings>()),*]
            }

            /// The settings, as they would be written.
            pub(in crate::config) fn write(&self) -> Result<toml::Table, toml::ser::Error> {
                match self {
                    $($name::$variant(settings) => toml::Table::try_from(settings),)*
                }
            }
        }

        /// Only the type: settings may hold secrets.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(self.type_name())
            }
        }
    };
}

kinds! {
    /// A kind of connection, which sources and sinks share.
    ConnectionKind {
        /// A Kafka cluster.
        Kafka = "kafka", kafka::Connection;
    }
}

kinds! {
    /// A kind of source.
    SourceKind {
        /// Standard input.
        Stdin = "stdin", source::stdin::Settings;
        /// Files.
        File = "file", source::file::Settings;
        /// Made up.
        Generate = "generate", source::generate::Settings;
        /// Sent to a server of its own.
        Http = "http", Box<source::http::Settings>;
        /// Topics of a Kafka cluster.
        Kafka = "kafka", source::kafka::Settings;
    }
}

kinds! {
    /// A kind of sink.
    SinkKind {
        /// Shown on standard output.
        Console = "console", sink::console::Settings;
        /// Counted.
        Null = "null", sink::null::Settings;
        /// Appended to files.
        File = "file", sink::file::Settings;
        /// Sent to a server.
        Http = "http", Box<sink::http::Settings>;
        /// Written to topics of Kafka.
        Kafka = "kafka", sink::kafka::Settings;
        /// Given to a component.
        Wasm = "wasm", wasm::Settings;
    }
}

kinds! {
    /// What a native sink sends of an event.
    Encoder {
        /// The payload.
        Raw = "raw", sink::encode::raw::Settings;
        /// One JSON object.
        Json = "json", sink::encode::json::Settings;
        /// One record of CSV.
        Csv = "csv", sink::encode::csv::Settings;
        /// A text with places that the event fills.
        Template = "template", sink::encode::template::Settings;
        /// What a component makes of it.
        Wasm = "wasm", wasm::EncoderSettings;
    }
}

impl SourceKind {
    /// The kinds that read bytes, and so have the settings of framing.
    pub(in crate::config) const FRAMED: &'static [&'static str] = &["stdin", "file"];
    /// The kinds that name a connection.
    pub(in crate::config) const CONNECTED: &'static [&'static str] = &["kafka"];
}

impl SinkKind {
    /// The kinds that name a connection.
    pub(in crate::config) const CONNECTED: &'static [&'static str] = &["kafka"];
}

impl ConnectionKind {
    /// What `type` says where it is left out.
    pub(in crate::config) const USUAL: &'static str = "kafka";
}
