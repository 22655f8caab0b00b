//! What HTTP means to the layers of sandtower
