"""Pictures: clouds splatted without OpenGL, figures, files for other programs, pages and a live view."""
