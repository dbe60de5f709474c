package proxy

import (
	"bytes"
	"io"
	"net/http"
)

// hold takes the whole body of a request before any endpoint sees of it, of so many bytes at most. It tells whether the
// request goes on; where it does not, it is answered.
func (x *exchange) hold(most int) bool {
	if x.upgrade == webSocket || x.r.Body == nil || x.r.Body == http.NoBody {
		return true
	}
	_, idle, stop := x.watchIdle()
	defer stop()
	body := &watchedBody{ReadCloser: x.r.Body, idle: idle}
	held, err := io.ReadAll(io.LimitReader(body, int64(most)+1))
	switch {
	case idle.expired.Load():
		x.reply(http.StatusRequestTimeout)
		return false
	case err != nil && x.r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client has gone
	case err != nil:
		x.reply(http.StatusBadRequest)
		return false
	case len(held) > most:
		x.replyByRoute(http.StatusRequestEntityTooLarge, x.values(0))
		return false
	}
	x.r.Body, x.r.ContentLength, x.r.TransferEncoding = io.NopCloser(bytes.NewReader(held)), int64(len(held)), nil
	return true
}
