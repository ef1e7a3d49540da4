//go:build !wasip1

package sumphttp

import "net/http"

func transport() http.RoundTripper { return http.DefaultTransport }
