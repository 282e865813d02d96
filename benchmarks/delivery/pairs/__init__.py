"""One pair of client and server for each library, as its documentation recommends for links that die."""
