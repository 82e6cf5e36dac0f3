"""Pictures of results. Figures are returned, never shown."""
