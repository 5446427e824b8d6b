//! The entry point.

storport::driver_entry!(vioblk::miniport);
