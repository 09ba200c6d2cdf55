"""The API's description (OpenAPI 3.1), made from the routes and the fleet file, and the page that shows it."""
