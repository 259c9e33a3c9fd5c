//! The supervisor, event by event.

