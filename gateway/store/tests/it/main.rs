//! One conformance suite for both engines.
