"""Private helpers: argument checks, nan-safe numerics, the registry of specs."""
