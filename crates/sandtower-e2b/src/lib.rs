//! What E2B means to the layers of sandtower, and a typed client
