// Words does what the payloads of its events say. One such guest in every language is held to the same list.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"sump.example/sump"
)

type config struct {
	Begin string `json:"begin,omitempty"`
	Flush string `json:"flush,omitempty"`
	Open  string `json:"open,omitempty"`
	Echo  bool   `json:"echo,omitempty" doc:"Reject each event with what it is as the message."`
}

func init() { sump.RegisterEvents(sump.About{Name: "words", Version: "0.1.0"}, open) }

func main() {}

type words struct {
	config
	kept [][]byte
}

func open(_ context.Context, c config, _ sump.Opening) (sump.EventSink, error) {
	return &words{config: c}, (&words{}).obey(c.Open)
}

func (s *words) Begin(context.Context, *sump.Call) error { return s.obey(s.config.Begin) }
func (s *words) Flush(context.Context, *sump.Call) error { return s.obey(s.config.Flush) }

func (s *words) Process(_ context.Context, _ *sump.Call, event sump.Event) error {
	if s.Echo {
		return sump.Rejected("echo", "%s", echo(event))
	}
	word, err := event.Text()
	if err != nil {
		return err
	}
	return s.obey(word)
}

func (s *words) obey(word string) error {
	switch word {
	case "busy":
		return sump.Transient("busy", "come again")
	case "bad":
		return sump.Rejected("bad", "never")
	case "lost":
		return sump.Unknown("lost", "who knows")
	case "halt":
		return sump.Halted("halt", "call the operator")
	case "uncaught":
		return errors.New("nobody said what it means")
	case "print":
		slog.Info("a word", "word", word)
	case "exit":
		os.Exit(3)
	case "spin":
		for {
		}
	case "eat":
		for {
			s.kept = append(s.kept, make([]byte, 1<<20))
		}
	case "work":
		// What a heap that grows and shrinks would spoil if anybody else thought that memory his.
		for range 32 {
			s.kept = append(s.kept, make([]byte, 1<<20))
			fmt.Fprint(os.Stderr, os.Getenv("TZ"))
		}
		for _, kept := range s.kept {
			for _, b := range kept {
				if b != 0 {
					return sump.Unknown("spoilt", "memory that nobody wrote to has %d in it", b)
				}
			}
		}
		s.kept = nil
	}
	return nil
}

// echo says what an event is: `payload=… key=… time=… headers=…,… at=PARTITION/POSITION`, bytes in hexadecimal, `-` for
// what is absent.
func echo(event sump.Event) string {
	text := func(bytes []byte) string {
		if bytes == nil {
			return "-"
		}
		return hex.EncodeToString(bytes)
	}
	var headers []string
	for name, value := range event.Headers() {
		headers = append(headers, hex.EncodeToString([]byte(name))+":"+text(value))
	}
	return fmt.Sprintf("payload=%s key=%s time=%d headers=%s at=%s/%d", text(event.Payload()), text(event.Key()),
		event.Time().UnixMilli(), strings.Join(headers, ","), event.Partition(), event.Position())
}
