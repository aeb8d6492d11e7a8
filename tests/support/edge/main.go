// Plays Cloudflare's edge for a cloudflared on this machine: the tunnel dials it, and it sends requests down the tunnel.
//
//	edge FOLDER <JOB >ANSWERS
//
// It runs where nothing but loopback is: the names of the origins and of the Access team lead to this machine there, and it
// listens at all of them. Clients come to it by names, as to Cloudflare (see clients.go). It registers no tunnel: cloudflared
// serves requests as soon as the connection stands. Nothing but Go's own library is needed.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// Where the edge listens, and the name that cloudflared's HTTP/2 connections ask for; probes ask for another.
	address = "127.0.0.1:7844"
	name    = "h2.cftunnel.com"
	// How the edge tells cloudflared of an upgrade, which HTTP/2 has no header for.
	upgrade = "Cf-Cloudflared-Proxy-Connection-Upgrade"
	// The number of the request, which cloudflared hands on.
	number = "X-Request"
	// After this long something hangs.
	patience = time.Minute
)

// A job is what to start and what to ask it.
type job struct {
	Command     []string
	Environment []string
	Origins     []string // host:port, of HTTP
	Raw         []string // host:port, of something else
	Team        string   // the host name of the Access team
	Keys        bool     // whether the team's keys can be fetched
	Requests    []request
	Names       []string // what clients ask for
	Clients     [][]string
}

type request struct {
	Host, Path string
	Token      string   // what kind of token, see tokens.go; none if empty
	Audience   []string // who the token is for
	Websocket  bool
}

type answer struct {
	Status  int      `json:"status"`
	Reached []string `json:"reached"` // which origin saw the request, and as what
}

// Where a request that an origin saw without its number is counted.
const unasked = -1

// Seen is what the origins have seen, by the number of the request.
type seen struct {
	sync.Mutex
	by map[int][]string
}

func main() {
	// Children end with the thread that started them.
	runtime.LockOSThread()
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder string) error {
	var job job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return err
	}
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	trusted := filepath.Join(folder, "authority.pem")
	if err := os.WriteFile(trusted, authority.pem, 0o644); err != nil {
		return err
	}
	signer, err := newSigner(job.Team)
	if err != nil {
		return err
	}
	seen := &seen{by: map[int][]string{}}
	tunnel := make(chan net.Conn)
	if err := listen(job, authority, signer, seen, tunnel); err != nil {
		return err
	}
	raw, err := listenRaw(job.Raw)
	if err != nil {
		return err
	}
	edge := &edge{signer, transport(tunnel)}
	if err := edge.listen(job.Names, authority); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var said bytes.Buffer
	command := exec.CommandContext(ctx, job.Command[0], job.Command[1:]...)
	command.Env = append(job.Environment,
		"TUNNEL_EDGE="+address, "TUNNEL_TRANSPORT_PROTOCOL=http2", "SSL_CERT_FILE="+trusted)
	command.Stdout, command.Stderr = &said, &said
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { command.Wait(); cancel(); close(ended) }()
	answers, err := edge.ask(ctx, job.Requests, raw)
	var ends []end
	if err == nil {
		ends, err = runAll(ctx, job.Clients, trusted)
	}
	cancel()
	<-ended
	if err != nil {
		return fmt.Errorf("%w; cloudflared said:\n%s", err, said.Bytes())
	}
	// Only now: whatever was let through late has been seen as well.
	seen.Lock()
	defer seen.Unlock()
	for index := range answers {
		answers[index].Reached = append(answers[index].Reached, seen.by[index]...)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"answers": answers, "unasked": append([]string{}, seen.by[unasked]...), "said": said.String(),
		"ends": ends,
	})
}

// Listen opens the edge, the origins, and the place of the team's keys if they can be had.
func listen(job job, authority *authority, signer *signer, seen *seen, tunnel chan<- net.Conn) error {
	for _, origin := range job.Origins {
		listener, err := net.Listen("tcp", origin)
		if err != nil {
			return err
		}
		go http.Serve(listener, seen.origin(origin))
	}
	if job.Keys {
		certificate, err := authority.certificate(job.Team)
		if err != nil {
			return err
		}
		listener, err := tls.Listen("tcp", job.Team+":443", &tls.Config{Certificates: []tls.Certificate{certificate}})
		if err != nil {
			return err
		}
		go http.Serve(listener, signer)
	}
	certificate, err := authority.certificate(name)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go accept(listener, certificate, tunnel)
	return nil
}

// Accept hands on the connections that are for requests.
func accept(listener net.Listener, certificate tls.Certificate, tunnel chan<- net.Conn) {
	for {
		plain, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			connection := tls.Server(plain, &tls.Config{Certificates: []tls.Certificate{certificate}})
			if connection.Handshake() == nil && connection.ConnectionState().ServerName == name {
				tunnel <- connection
			} else {
				connection.Close()
			}
		}()
	}
}

// Origin is the application behind one name and port.
func (seen *seen) origin(name string) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		index, err := strconv.Atoi(request.Header.Get(number))
		if err != nil {
			index = unasked
		}
		seen.Lock()
		seen.by[index] = append(seen.by[index], fmt.Sprintf("%s %s%s", name, request.Host, request.URL.Path))
		seen.Unlock()
		writer.WriteHeader(http.StatusOK)
	})
}

// An edge has requests and sends them down the tunnel.
type edge struct {
	signer *signer
	tunnel http.RoundTripper
}

// In the tunnel the edge is the client, of HTTP/2 that neither side negotiates.
func transport(tunnel <-chan net.Conn) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Protocols: protocols,
		DialContext: func(dial context.Context, _, _ string) (net.Conn, error) {
			select {
			case connection := <-tunnel:
				return connection, nil
			case <-dial.Done():
				return nil, fmt.Errorf("no tunnel came: %w", dial.Err())
			}
		},
	}
}

// Send sends a request down the tunnel.
func (edge *edge) send(ctx context.Context, index int, asked request, body io.Reader) (*http.Response, error) {
	// The address is one and the same, so that all requests go down one connection.
	built, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tunnel"+asked.Path, body)
	if err != nil {
		return nil, err
	}
	built.Host = asked.Host
	built.Header.Set(number, strconv.Itoa(index))
	if asked.Websocket {
		built.Header.Set(upgrade, "websocket")
	}
	if asked.Token != "" {
		token, err := edge.signer.token(asked.Token, asked.Audience)
		if err != nil {
			return nil, err
		}
		built.Header.Set("Cf-Access-Jwt-Assertion", token)
	}
	return edge.tunnel.RoundTrip(built)
}

// Ask sends the requests one after another.
func (edge *edge) ask(ctx context.Context, requests []request, raw []*raw) ([]answer, error) {
	answers := make([]answer, len(requests))
	for index, asked := range requests {
		response, err := edge.send(ctx, index, asked, nil)
		if err != nil {
			return nil, fmt.Errorf("asking for %s%s: %w", asked.Host, asked.Path, err)
		}
		// To the end, before which cloudflared has written its log. Only what is behind an upgrade need not end.
		if !asked.Websocket || response.StatusCode != http.StatusOK {
			_, err = io.Copy(io.Discard, response.Body)
		}
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		answers[index] = answer{response.StatusCode, []string{}}
		for _, origin := range raw {
			count, err := origin.settle()
			if err != nil {
				return nil, err
			}
			for range count {
				answers[index].Reached = append(answers[index].Reached, origin.name)
			}
		}
	}
	return answers, nil
}
