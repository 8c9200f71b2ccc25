"""The HTTP server: routes, protocols, bodies and the dashboard."""
