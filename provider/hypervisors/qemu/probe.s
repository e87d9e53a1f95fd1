# Boot sector of the accelerator probe: enters 64-bit mode with paging, takes ten timer interrupts
# while halted, writes OK to the first serial port and leaves through isa-debug-exit (port 0xf4).
# That is what a real kernel needs first, and where a broken nested KVM hangs.
#   as --64 probe.s -o probe.o && ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary probe.o -o probe.bin
        .intel_syntax noprefix
        .code16
        .globl _start
_start: cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00
        # Page tables at 0x1000, 0x2000 and 0x3000: the first 2 MiB, mapped one to one.
        cld
        mov     di, 0x1000
        mov     cx, 0x1800
        rep     stosw
        mov     word ptr [0x1000], 0x2003
        mov     word ptr [0x2000], 0x3003
        mov     word ptr [0x3000], 0x0083
        mov     eax, cr4
        or      al, 0x20                # PAE
        mov     cr4, eax
        mov     eax, 0x1000
        mov     cr3, eax
        mov     ecx, 0xc0000080         # EFER
        rdmsr
        or      ah, 1                   # long mode
        wrmsr
        lgdt    gdtr
        mov     eax, cr0
        or      eax, 0x80000001         # paging and protection at once
        mov     cr0, eax
        .byte   0xea                    # far jump
        .word   long_mode, 0x08

        .code64
long_mode:
        xor     eax, eax
        mov     ss, eax
        mov     esp, 0x7c00
        # Gate 0x20 of the interrupt table at 0x4000 leads to `tick`.
        mov     eax, offset tick
        or      eax, 0x80000
        mov     dword ptr [0x4200], eax
        xor     eax, eax
        mov     dword ptr [0x4204], 0x8e00
        mov     qword ptr [0x4208], rax
        lidt    idtr
        # Interrupt controller: vectors from 0x20, only the timer let through.
        mov     al, 0x11
        out     0x20, al
        mov     al, 0x20
        out     0x21, al
        mov     al, 4
        out     0x21, al
        mov     al, 1
        out     0x21, al
        mov     al, 0xfe
        out     0x21, al
        # Timer: 1193182 Hz / 11932 = 100 Hz.
        mov     al, 0x34
        out     0x43, al
        mov     al, 0x9c
        out     0x40, al
        mov     al, 0x2e
        out     0x40, al
        mov     ebx, 10
        sti
wait:   hlt
        test    ebx, ebx
        jg      wait
        cli
        mov     dx, 0x3f8
        mov     al, 'O'
        out     dx, al
        mov     al, 'K'
        out     dx, al
        mov     al, 10
        out     dx, al
        mov     al, 0x10                # the exit status becomes 0x10 * 2 + 1 = 33
        out     0xf4, al
stop:   hlt
        jmp     stop

tick:   dec     ebx
        push    rax
        mov     al, 0x20
        out     0x20, al
        pop     rax
        iretq

        .balign 8
gdt:    .quad   0, 0x00209a0000000000
gdtr:   .word   15
        .long   gdt
idtr:   .word   0x20f
        .quad   0x4000
        .org    510
        .word   0xaa55
