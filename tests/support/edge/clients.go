package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
)

// What a WebSocket's key is answered with (RFC 6455, section 1.3).
const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// An end is how a client ended.
type end struct {
	Status int    `json:"status"`
	Out    string `json:"out"`
	Err    string `json:"err"`
}

// Listen opens the edge for clients of these names.
func (edge *edge) listen(names []string, authority *authority) error {
	for _, name := range names {
		certificate, err := authority.certificate(name)
		if err != nil {
			return err
		}
		listener, err := tls.Listen("tcp", name+":443", &tls.Config{Certificates: []tls.Certificate{certificate}})
		if err != nil {
			return err
		}
		go http.Serve(listener, edge)
	}
	return nil
}

// ServeHTTP hands a client's WebSocket down the tunnel as it is: both ends of it are cloudflared's. The service token says what
// Access does about the client: its ID is the kind of token that the request gets, its secret the application that it is for.
func (edge *edge) ServeHTTP(writer http.ResponseWriter, client *http.Request) {
	asked := request{
		Host: client.Host, Path: client.URL.Path, Websocket: true,
		Token: client.Header.Get("Cf-Access-Client-Id"), Audience: client.Header["Cf-Access-Client-Secret"],
	}
	up, sent := io.Pipe()
	defer sent.Close()
	response, err := edge.send(context.Background(), unasked, asked, up)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		writer.WriteHeader(response.StatusCode)
		return
	}
	connection, buffered, err := writer.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	accept := sha1.Sum([]byte(client.Header.Get("Sec-Websocket-Key") + magic))
	io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(accept[:])+"\r\n\r\n")
	go func() {
		io.Copy(sent, buffered)
		sent.Close()
	}()
	io.Copy(connection, response.Body)
}

// RunAll runs the clients one after another.
func runAll(ctx context.Context, clients [][]string, trusted string) ([]end, error) {
	ends := []end{}
	for _, client := range clients {
		var out, said bytes.Buffer
		command := exec.CommandContext(ctx, client[0], client[1:]...)
		command.Env = append(os.Environ(), "SSL_CERT_FILE="+trusted)
		command.Stdout, command.Stderr = &out, &said
		var failed *exec.ExitError
		if err := command.Run(); err != nil && !errors.As(err, &failed) {
			return nil, err
		}
		ends = append(ends, end{command.ProcessState.ExitCode(), out.String(), said.String()})
	}
	return ends, ctx.Err()
}
