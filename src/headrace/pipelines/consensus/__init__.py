"""The pipeline `consensus`: an idea is expanded, reviewed by five personas, and decided."""
