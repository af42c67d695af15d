package exchange_test

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ergoproxy/ergo/shared/exchange"
	"github.com/ergoproxy/ergo/shared/proxystatus"
)

func TestFromReturnsWhatWithStored(t *testing.T) {
	x := &exchange.Exchange{}
	if exchange.From(exchange.With(t.Context(), x)) != x {
		t.Error("From returns another Exchange")
	}
}

func TestFromPanicsWithoutAnExchange(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("From returned although no Exchange was stored")
		}
	}()
	exchange.From(context.Background())
}

func TestTheFirstFailureStays(t *testing.T) {
	x := &exchange.Exchange{}
	x.Fail(proxystatus.New(proxystatus.ConnectionTimeout, "core", "dial 10.0.0.7:80", io.EOF))
	x.Fail(proxystatus.New(proxystatus.ProxyInternalError, "edge", "serve", nil))
	if x.Report.Error != proxystatus.ConnectionTimeout || x.Report.ErrorHop != "core" || x.Report.Detail != "dial 10.0.0.7:80: EOF" {
		t.Errorf("Report is %+v", x.Report)
	}
}

func TestRefuseRecordsAndAnswers(t *testing.T) {
	x := &exchange.Exchange{ID: exchange.NewID(time.Now())}
	w := httptest.NewRecorder()
	x.Refuse(w, httptest.NewRequest("GET", "/", nil), "edge-1", proxystatus.New(proxystatus.HTTPRequestDenied, "edge", "filter", nil))
	if w.Code != 403 || !strings.Contains(w.Body.String(), x.ID.String()) || x.Report.Detail != "filter" {
		t.Errorf("status %d, body %q, report %+v", w.Code, w.Body, x.Report)
	}
}
