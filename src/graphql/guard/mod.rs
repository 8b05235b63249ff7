//! Looks at a document before anything else does, and refuses what would cost too much.
