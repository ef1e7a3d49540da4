//! Connections to elsewhere: what all that speak TLS share. (librdkafka alone has its own.)

pub mod tls;
